"""Lets vLLM, built for a CPU, take this machine for one with NVIDIA GPUs.

Only what is asked about devices is answered: name, memory, compute capability. No kernel runs and
nothing is allocated; every tensor is on PyTorch's meta device.
"""

import importlib.abc
import importlib.machinery
import sys
import types

import torch

NO_KERNELS = (
    "vllm._C_stable_libtorch",
    "vllm._moe_C_stable_libtorch",
    "vllm.vllm_flash_attn._vllm_fa2_C",
    "vllm.vllm_flash_attn._vllm_fa3_C",
)
"""Modules of the CUDA build; that they can be imported is all that is asked of them."""
NO_PACKAGES = ("cuda", "cutlass", "quack", "tilelang", "vllm.vllm_flash_attn.cute")
"""Packages of kernels that are compiled when they are first called, so never here."""
NAMESPACES = ("_C", "_moe_C", "_vllm", "_flashmla", "_qutlass")
ANSWERS = {
    "get_device_name": "NVIDIA H100 80GB HBM3",
    "get_device_uuid": "GPU-0",
    "get_device_total_memory": 80 * 2**30,
    "is_fully_connected": True,
    "device_count": 64,
    "num_compute_units": 132,
    "is_integrated_gpu": False,
    "get_cuda_runtime_major": 13,
    "get_device_numa_node": None,
    "get_all_device_numa_nodes": None,
    "is_pin_memory_available": True,
    "import_kernels": None,
    "check_if_supports_dtype": None,
}


class Kernel:
    """A CUDA operator that this build lacks: it can be named, and is said to be supported."""

    def __init__(self, name):
        self.name = self.__name__ = name

    def __getattr__(self, part):
        if part.startswith("__"):
            raise AttributeError(part)
        return self

    def __call__(self, *_args, **_more):
        if "support" not in self.name:
            raise NotImplementedError(self.name)
        return True


class Silent:
    """A CUDA event or stream."""

    def __init__(self, *args, **more):
        pass


class Tuning:
    """A row of Triton's tuning tables, which are read at import."""

    def __init__(self, kwargs=None, num_warps=4, num_stages=3, **more):
        self.kwargs, self.num_warps, self.num_stages = kwargs or {}, num_warps, num_stages


class Nothing:
    """Any name of a package that is not there: a decorator, a type, a constant, a module."""

    def __init__(self, name):
        self.__name__ = self.__qualname__ = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(name)

    def __call__(self, *args, **_more):
        return args[0] if len(args) == 1 and callable(args[0]) else self

    def __getitem__(self, _key):
        return self

    def __mro_entries__(self, _bases):
        return (object,)

    def __or__(self, _other):
        return self

    __ror__ = __or__


class Absent(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the packages of `NO_PACKAGES` and whatever is in them."""

    def find_spec(self, name, path=None, target=None):
        if not (name + ".").startswith(tuple(package + "." for package in NO_PACKAGES)):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Absent(spec.name)

    def exec_module(self, module):
        pass


class OnMeta(torch.overrides.TorchFunctionMode):
    """Whatever asks for a device gets the meta device."""

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        named = dict(kwargs or {})
        if named.get("device") is not None:
            named["device"] = torch.device("meta")
        if function is torch.Tensor.cuda:
            return args[0]
        if function is torch.Tensor.to:
            args = (args[0], *("meta" if is_device(word) else word for word in args[1:]))
        return function(*args, **named)


def is_device(word):
    return isinstance(word, torch.device) or (isinstance(word, str) and word.startswith("cuda"))


def constant(value):
    return classmethod(lambda *_args, **_more: value)


def h100(capability):
    """Makes vLLM, from its import on, believe in GPUs of this (major, minor) capability."""
    for name in NO_KERNELS:
        sys.modules.setdefault(name, types.ModuleType(name))
    cuda(capability)
    operators()
    import vllm.platforms
    from vllm.platforms import cuda as real
    from vllm.platforms.interface import DeviceCapability

    answers = ANSWERS | {"get_device_capability": DeviceCapability(*capability)}
    members = {name: constant(value) for name, value in answers.items()}
    platform = type("Pretended", (real.CudaPlatformBase,), members)()
    vllm.platforms._current_platform = vllm.platforms.current_platform = platform
    triton()


def cuda(capability):
    """The questions that go to PyTorch itself."""
    memory = ANSWERS["get_device_total_memory"]
    torch.cuda.current_device = lambda: 0
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: ANSWERS["device_count"]
    torch.cuda.get_device_capability = lambda *_: capability
    torch.cuda.mem_get_info = lambda *_: (memory, memory)
    torch.cuda.current_stream = lambda *_: None
    torch.cuda.Event = torch.cuda.Stream = Silent
    torch.cuda.get_device_properties = lambda *_: types.SimpleNamespace(
        name=ANSWERS["get_device_name"],
        major=capability[0],
        minor=capability[1],
        total_memory=memory,
        multi_processor_count=132,
        shared_memory_per_block_optin=232448,
        warp_size=32,
    )


def operators():
    """Operators of the CUDA build can be named, and given shapes, without being there."""
    known = torch._ops._OpNamespace.__getattr__
    fake = torch.library.register_fake

    def operator(namespace, name):
        try:
            return known(namespace, name)
        except AttributeError:
            if name.startswith("__") or not namespace.name.startswith(NAMESPACES):
                raise
            return Kernel(name)

    def register(name, function=None, /, **more):
        if function is None:
            return lambda found: register(name, found, **more)
        try:
            return fake(name, function, **more)
        except RuntimeError:
            return function

    torch._ops._OpNamespace.__getattr__ = operator
    torch.library.register_fake = register


def packages():
    """From here on the packages of kernels are there; what vLLM imports itself asks if they are."""
    sys.meta_path.append(Finder())


def triton():
    import vllm.triton_utils as found

    if not found.HAS_TRITON:
        found.triton.Config = Tuning


class Group:
    """A group of `size` GPUs, seen from its first, that sends nothing."""

    def __init__(self, size):
        self.world_size, self.ranks = size, list(range(size))
        self.rank = self.rank_in_group = self.local_rank = self.first_rank = 0
        self.last_rank, self.unique_name = size - 1, f"of-{size}"
        self.is_first_rank, self.is_last_rank = True, size == 1
        self.use_custom_op_call = self.use_device_communicator = False
        self.device_communicator = self.mq_broadcaster = None
        self.device = torch.device("meta")
        sizes = types.SimpleNamespace(size=lambda: size, rank=lambda: 0)
        self.device_group = self.cpu_group = sizes

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda sent=None, *_args, **_more: sent
