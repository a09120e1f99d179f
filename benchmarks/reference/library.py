"""A device library of NativeLM (cuda or emulated) loaded into this Python process beside PyTorch."""

import ctypes

import abi

# Bench-only exports: native/bench/bench_kernels.h.
BENCH_FUNCTIONS = {
    "nlm_bench_read": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p],
    "nlm_bench_replay": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p],
}


class NativeError(Exception):
    """A call returned a status other than OK; the text is the library's own."""


class Library:
    """Checked calls into one loaded library, with one open device and one stream on it."""

    def __init__(self, path):
        for struct, size in abi.SIZES.items():
            if ctypes.sizeof(struct) != size:
                raise NativeError(f"{struct.__name__}: ctypes lays it out in {ctypes.sizeof(struct)} bytes, C in {size}")
        self._dll = ctypes.CDLL(path)
        for name, (result, parameters) in abi.FUNCTIONS.items():
            self._declare(name, result, parameters)
        for name, parameters in BENCH_FUNCTIONS.items():
            self._declare(name, ctypes.c_int32, parameters)
        found = (self._dll.nlm_abi_version(), self._dll.nlm_abi_hash())
        if found != (abi.ABI_VERSION, abi.ABI_HASH):
            raise NativeError(f"{path}: ABI version and hash {found[0]}, {found[1]:x}; abi.py has {abi.ABI_VERSION}, {abi.ABI_HASH:x}")
        self.backend = abi.Backend(self._dll.nlm_backend_kind())
        options = abi.DeviceOptions(size=ctypes.sizeof(abi.DeviceOptions))
        self._device, self._stream = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("nlm_device_open", ctypes.byref(options), ctypes.byref(self._device))
        self.call("nlm_stream_create", self._device, ctypes.byref(self._stream))
        self.info = abi.DeviceInfo(size=ctypes.sizeof(abi.DeviceInfo))
        self.call("nlm_device_get_info", self._device, ctypes.byref(self.info))

    def _declare(self, name, result, parameters):
        function = getattr(self._dll, name)
        function.restype = result
        function.argtypes = parameters

    def call(self, name, *arguments):
        """Calls a function that returns a status and raises its message unless it is OK."""
        if getattr(self._dll, name)(*arguments) != abi.StatusCode.Ok:
            raise NativeError(self._dll.nlm_last_error().decode())

    def op(self, name, arguments):
        """Queues an op with its argument struct on the stream; fills in the struct's size."""
        arguments.size = ctypes.sizeof(arguments)
        self.call(name, self._stream, ctypes.byref(arguments))

    def bytes(self, name, arguments):
        """What nlm_*_bytes answers for an argument struct."""
        arguments.size = ctypes.sizeof(arguments)
        return self.number(name, ctypes.byref(arguments))

    def number(self, name, *arguments):
        value = getattr(self._dll, name)(*arguments)
        if value < 0:
            raise NativeError(f"{name}: arguments out of range")
        return value

    def allocate(self, byte_count):
        """Address of new device memory. It lives as long as the process: a benchmark frees nothing."""
        memory = ctypes.c_void_p()
        self.call("nlm_memory_allocate", self._device, byte_count, abi.MemoryKind.Device, ctypes.byref(memory))
        return memory.value

    def synchronize(self):
        self.call("nlm_stream_synchronize", self._stream)

    def read(self, address, byte_count, sink):
        """Queues a kernel that reads the bytes once."""
        self.call("nlm_bench_read", self._stream, address, byte_count, 8, sink)

    def record(self, call, count):
        """A graph of call(0) … call(count - 1); each queues ops on the stream."""
        graph = ctypes.c_void_p()
        self.call("nlm_graph_begin", self._stream)
        for index in range(count):
            call(index)
        self.call("nlm_graph_end", self._stream, ctypes.byref(graph))
        return graph

    def milliseconds(self, graph):
        """Launches a graph twice and returns the device's time for the second launch."""
        elapsed = ctypes.c_float()
        self.call("nlm_bench_replay", self._stream, ctypes.byref(graph), 1, 1, ctypes.byref(elapsed))
        return elapsed.value

    def destroy(self, graph):
        self.call("nlm_graph_destroy", graph)
