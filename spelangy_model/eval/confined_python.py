"""Runs one Python program under limits, in the process that this file is started in. Started by generated_code.py.

Put here: what the process takes from itself before it runs the program. Do not put here: starting it or judging how it
ended. It imports the standard library alone, because it is run by path with `python -I -S`.

    python -I -S -B confined_python.py MEMORY_BYTES CPU_S WHAT < {"nonce": ..., "program": ...}

It writes one line on its standard output: `confined` or `limited` (the kernel takes no filter), before the program, and
the nonce, once the program has ended without an exception. What the program prints is discarded. WHAT is `probe` to end
before a program is read.

This is no sandbox: the program shares the user, the files that this user may read, and the kernel.
"""

import ctypes
import json
import os
import platform
import resource
import struct
import sys

# System calls that the filter refuses, by architecture: x86_64, aarch64 (None: it has none). Numbers are those of the
# kernel's tables; they never change.
_REFUSED = {
    # network
    "socket": (41, 198),
    "socketpair": (53, 199),
    "io_uring_setup": (425, 425),
    # processes and threads
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    # other processes
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "setpriority": (141, 140),
    # files: none is made, changed or removed
    "creat": (85, None),
    "openat2": (437, 437),
    "open_by_handle_at": (304, 265),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "mount": (165, 40),
    "umount2": (166, 39),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "unshare": (272, 97),
    "setns": (308, 268),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
}
_OPENED = {"open": ((2, None), 1), "openat": ((257, 56), 2)}  # and the place of their flags among the arguments
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ARCHITECTURES = {
    "x86_64": (0, 0xC000003E),
    "aarch64": (1, 0xC00000B7),
}  # its column above, and the kernel's name of it
_X32 = 0x40000000  # added to the numbers of x86_64's other calling convention
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # 1 is EPERM
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data


def program_of_filter(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the filter's BPF instructions: (code, jump if true, jump if false, value). KeyError: unknown machine."""
    column, architecture = _ARCHITECTURES[machine]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for numbers, place in _OPENED.values():
        if numbers[column] is not None:
            lines += [
                (_EQUAL, 0, 4, numbers[column]),
                (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * place),
                (_ANY_BIT, 0, 1, _WRITES),
                (_RETURN, 0, 0, _REFUSE),
                (_RETURN, 0, 0, _ALLOW),
            ]
    for numbers in _REFUSED.values():
        if numbers[column] is not None:
            lines += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _REFUSE)]
    return [*lines, (_RETURN, 0, 0, _ALLOW)]


def forbid() -> bool:
    """Install the filter, which cannot be taken away again. False where this kernel or machine takes none."""
    try:
        lines = program_of_filter(platform.machine())
        libc = ctypes.CDLL(None, use_errno=True)
        program = b"".join(struct.pack("HBBI", *line) for line in lines)
        held = ctypes.create_string_buffer(program, len(program))
        pointer = struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(held))
        no_new_privileges, set_filter, by_program = 38, 22, 2
        libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        if libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0:
            return False
        header = ctypes.create_string_buffer(pointer, len(pointer))
        return libc.prctl(set_filter, by_program, ctypes.addressof(header), 0, 0) == 0
    except (KeyError, AttributeError, OSError):
        return False


def main() -> None:
    memory_bytes, cpu_s, what = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    reports = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    given = {} if what == "probe" else json.loads(sys.stdin.buffer.read())
    for limit, amount in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
    ):
        resource.setrlimit(limit, (amount, amount))
    os.write(reports, b"confined\n" if forbid() else b"limited\n")
    if what == "probe":
        return
    exec(compile(given["program"], "<generated>", "exec"), {"__name__": "__main__"})
    os.write(reports, given["nonce"].encode())


if __name__ == "__main__":
    main()
