// The page of `spelangy talk`: sends a question, as sound or as text, and shows each run's answer.
"use strict";

const $ = (id) => document.getElementById(id);
const state = $("state");
let recorder = null;
let sound = "";

function say(text, isBad = false) {
  state.textContent = text;
  state.className = isBad ? "bad" : "quiet";
}

function options() {
  return $("options").value.split("\n").map((line) => line.trim()).filter(Boolean);
}

function show(card, found) {
  const answer = card.querySelector(".answer");
  answer.textContent = found.error ?? (found.answer || "(nothing)") + (found.ended ? "" : " \u2026");
  answer.classList.toggle("bad", "error" in found);
  const bars = (found.options ?? []).map((one) => {
    const row = document.createElement("div");
    row.className = "option";
    const [name, bar, share] = ["span", "span", "span"].map((kind) => document.createElement(kind));
    const filled = document.createElement("i");
    name.textContent = one.option;
    bar.className = "bar";
    filled.style.width = `${100 * one.share}%`;
    bar.append(filled);
    share.className = "number";
    share.textContent = `${(100 * one.share).toFixed(1)}%`;
    share.title = `${one.log_likelihood.toFixed(2)} nats`;
    row.append(name, bar, share);
    return row;
  });
  card.querySelector(".options").replaceChildren(...bars);
  card.querySelector(".time").textContent = "seconds" in found ? `${found.seconds.toFixed(2)} s` : "";
}

async function ask(body, kind) {
  const given = options();
  if (given.length === 1) {
    say("One answer is nothing to compare: write two or more, or none.", true);
    return;
  }
  const controls = [$("send"), $("file"), $("record")];
  controls.forEach((one) => { one.disabled = true; });
  say("Asking \u2026");
  try {
    const query = new URLSearchParams(given.map((one) => ["option", one]));
    const reply = await fetch(`/answers?${query}`, { method: "POST", body, headers: { "Content-Type": kind } });
    const found = reply.headers.get("Content-Type")?.startsWith("application/json") ? await reply.json() : null;
    if (!reply.ok || !found) throw new Error(found?.error ?? `the server answered ${reply.status}`);
    document.querySelectorAll(".answers article").forEach((card, index) => show(card, found.answers[index]));
    say("Answered.");
  } catch (error) {
    say(`No answer: ${error.message}`, true);
  } finally {
    controls.forEach((one) => { one.disabled = false; });
  }
}

function askSound(blob) {
  URL.revokeObjectURL(sound);
  sound = URL.createObjectURL(blob);
  $("sound").src = sound;
  $("sound").hidden = false;
  return ask(blob, "application/octet-stream");
}

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) askSound(file).then(() => { $("file").value = ""; });
});

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return say("Write a question first.", true);
  $("sound").hidden = true;
  ask(text, "text/plain; charset=utf-8");
});

$("record").addEventListener("click", async () => {
  if (recorder) {
    recorder.stop();
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    say(`No microphone: ${error.message}`, true);
    return;
  }
  const pieces = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.addEventListener("stop", () => {
    stream.getTracks().forEach((track) => track.stop());
    const blob = new Blob(pieces, { type: recorder.mimeType });
    recorder = null;
    $("record").textContent = "Record";
    $("record").classList.remove("on");
    askSound(blob);
  });
  recorder.start();
  $("record").textContent = "Stop and ask";
  $("record").classList.add("on");
  say("Recording \u2026");
});
