# SPDX-License-Identifier: Apache-2.0
"""ito from Python: libito by ctypes, with numpy arrays in and out. No compiled module, nothing to build.

    import ito
    model = ito.Model("runs/fashion")              # what `ito sample --checkpoint` takes
    images = model.sample(16, seed=1, sampler="ddim", steps=50)
    x0 = model.denoise(images + 0.5 * noise, 0.5)  # E[x0 | x], x = x0 + sigma eps

Images are float32, (N, C, H, W), data in [-1, 1]. Arguments may be numpy arrays, what numpy makes an array of, or
anything on the CPU that speaks DLPack (torch.Tensor, jax.Array); results are numpy arrays, which speak it too:
torch.from_dlpack(images). Errors are ito.Error, with one line of text; a mistake in what was asked is ito.Refused.
Warnings are Python's. Work runs without the interpreter's lock.

The library is libito.so.0: the one of ITO_LIBRARY, or beside this file, or in the lib folder above it, or the system's.
What the functions mean is said in ito.h.
"""
import ctypes
import os
import threading
import warnings

import numpy as np

__all__ = ["Error", "Model", "Refused", "Trainer", "version"]

_NAME = "libito.so.0"
_REFUSED = 2


class Error(RuntimeError):
    """ito's mistake, or the machine's."""


class Refused(Error, ValueError):
    """A mistake in what was asked: a file, an option, a shape."""


class _Facts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("channels", "height", "width", "classes", "timesteps")] + [
        ("parameters", ctypes.c_int64)]


def _candidates():
    given = os.environ.get("ITO_LIBRARY")
    if given:
        return [given]
    folder = os.path.dirname(os.path.realpath(__file__))
    found = [os.path.join(folder, _NAME)]
    for _ in range(3):  # PREFIX/lib/python3/dist-packages
        folder = os.path.dirname(folder)
        found += [os.path.join(folder, _NAME), os.path.join(folder, "lib", _NAME)]
    return [path for path in found if os.path.exists(path)][:1] or [_NAME]


def _load():
    path = _candidates()[0]
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"{path}: {error}; install libito, or set ITO_LIBRARY to its file") from None


_P, _TEXT, _I32, _I64, _F64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_double
_STATUS, _SEED = ctypes.c_int, ctypes.c_uint64
_HANDLER = ctypes.CFUNCTYPE(None, _TEXT, _P)
_SIGNATURES = {
    "version": (_TEXT, []),
    "last_error": (_TEXT, []),
    "last_status": (_STATUS, []),
    "on_warning": (None, [_HANDLER, _P]),
    "open": (_P, [_TEXT, _P]),
    "close": (None, [_P]),
    "describe": (_STATUS, [_P, _P]),
    "device": (_TEXT, [_P]),
    "levels": (_STATUS, [_P, _P]),
    "sample": (_STATUS, [_P, _TEXT, _P, _SEED, _I64, _I64, _P, _P]),
    "denoise": (_STATUS, [_P, _I64, _P, _P, _P, _P]),
    "denoise_vjp": (_STATUS, [_P, _I64, _P, _P, _P, _P, _P, _P]),
    "measurements": (_STATUS, [_P, _TEXT, _P]),
    "measure": (_STATUS, [_P, _TEXT, _I64, _P, _P]),
    "restore": (_STATUS, [_P, _TEXT, _F64, _TEXT, _P, _SEED, _I64, _I64, _P, _P, _I32, _P, _P, _P]),
    "log_likelihood": (_STATUS, [_P, _P, _I64, _I64, _P, _P, _P]),
    "trainer_open": (_P, [_TEXT, _P]),
    "trainer_close": (None, [_P]),
    "trainer_describe": (_STATUS, [_P, _P, _P]),
    "trainer_step": (_STATUS, [_P, _P, _P]),
    "trainer_progress": (_STATUS, [_P, _P, _P]),
    "trainer_save": (_STATUS, [_P]),
}
_library = _load()
for _name, (_result, _arguments) in _SIGNATURES.items():
    _function = getattr(_library, "ito_" + _name)
    _function.restype, _function.argtypes = _result, _arguments

# A warning comes in the middle of a call, where Python must not raise: it is kept, and told after it.
_told = threading.local()


@_HANDLER
def _keep_warning(text, _data):
    getattr(_told, "texts", []).append(text.decode(errors="replace"))


_library.ito_on_warning(_keep_warning, None)


def _call(name, *arguments):
    """The function's result; Error where it failed."""
    _told.texts = []
    result = getattr(_library, "ito_" + name)(*arguments)
    texts, _told.texts = _told.texts, []
    failed = result is None if _SIGNATURES[name][0] is _P else result != 0
    error = _library.ito_last_error().decode(errors="replace") if failed else None
    for text in texts:
        warnings.warn(text, stacklevel=3)
    if failed:
        raise (Refused if _library.ito_last_status() == _REFUSED else Error)(error)
    return result


def _text(value):
    return os.fsencode(value)


def _word(value):
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _options(options):
    """key=value texts for C, with NULL behind them."""
    words = [f"{key}={_word(value)}".encode() for key, value in options.items() if value is not None]
    return (_TEXT * (len(words) + 1))(*words, None)


def _array(value, dtype, what):
    """Contiguous memory of that type, of numpy's or of whatever speaks DLPack on the CPU."""
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        kind = value.__dlpack_device__()[0]
        if kind not in (1, 3):  # kDLCPU, kDLCUDAHost
            raise Refused(f"{what}: is on a device (DLPack type {int(kind)}); give it in the host's memory")
        value = np.from_dlpack(value.detach() if hasattr(value, "detach") else value)
    return np.ascontiguousarray(value, dtype=dtype)


def _pointer(array):
    return None if array is None else array.ctypes.data


class _Handle:
    """What is opened and closed, also by `with`."""

    _handle, _close = None, None

    def close(self):
        handle, self._handle = self._handle, None
        if handle and _library:  # which is gone when the interpreter ends
            getattr(_library, self._close)(handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()

    def _take_facts(self, facts):
        self.shape = (facts.channels, facts.height, facts.width)
        self.classes, self.timesteps, self.parameters = facts.classes, facts.timesteps, facts.parameters

    def _images(self, value, what, count=None):
        array = _array(value, np.float32, what)
        if array.ndim != 4 or array.shape[1:] != self.shape or (count is not None and len(array) != count):
            wanted = "N" if count is None else count
            raise Refused(f"{what}: is of shape {array.shape}; expected ({wanted}, {', '.join(map(str, self.shape))})")
        return array

    def _labels(self, labels, count):
        if labels is None:
            return None
        array = _array(labels, np.int32, "labels")
        if array.size == 1:  # of all images
            array = np.broadcast_to(array.reshape(1), (count,))
        return self._row(np.ascontiguousarray(array), count, "labels")

    @staticmethod
    def _row(array, count, what):
        if array.shape != (count,):
            raise Refused(f"{what}: is of shape {array.shape}; expected ({count},)")
        return array


class Model(_Handle):
    """A model: path and options are ito_open's (device, precision, batch, threads, guidance, guide, ...)."""

    _close = "ito_close"

    def __init__(self, path, **options):
        self._handle = _call("open", _text(path), _options(options))
        facts = _Facts()
        _call("describe", self._handle, ctypes.addressof(facts))
        self._take_facts(facts)
        self.device = _library.ito_device(self._handle).decode(errors="replace")

    @property
    def sigmas(self):
        """(T,) noise to signal of every timestep, rising."""
        levels = np.empty(self.timesteps)
        _call("levels", self._handle, _pointer(levels))
        return levels

    def sample(self, count, seed=0, first=0, sampler=None, labels=None, **options):
        """Images first .. first+count-1 of the seed, as `ito sample` draws them."""
        out = np.empty((count, *self.shape), np.float32)
        labels = self._labels(labels, count)
        _call("sample", self._handle, None if sampler is None else sampler.encode(), _options(options), seed, first,
              count, _pointer(labels), _pointer(out))
        return out

    def denoise(self, x, sigma, labels=None):
        """E[x0 | x] of x = x0 + sigma eps. sigma: a number, or one an image."""
        x, sigma, labels = self._noisy(x, sigma, labels)
        out = np.empty_like(x)
        _call("denoise", self._handle, len(x), _pointer(x), _pointer(sigma), _pointer(labels), _pointer(out))
        return out

    def denoise_vjp(self, x, sigma, v, labels=None):
        """That, and its derivative by x, transposed, times v."""
        x, sigma, labels = self._noisy(x, sigma, labels)
        v = self._images(v, "v", len(x))
        out, gradient = np.empty_like(x), np.empty_like(x)
        _call("denoise_vjp", self._handle, len(x), _pointer(x), _pointer(sigma), _pointer(labels), _pointer(v),
              _pointer(out), _pointer(gradient))
        return out, gradient

    def _noisy(self, x, sigma, labels):
        x = self._images(x, "x")
        sigma = _array(sigma, np.float64, "sigma").reshape(-1)
        if len(sigma) not in (1, len(x)):
            raise Refused(f"sigma: has {len(sigma)} numbers for {len(x)} images; expected 1, or one an image")
        return x, np.ascontiguousarray(np.broadcast_to(sigma, (len(x),))), self._labels(labels, len(x))

    def measure(self, x, operator):
        """(N, M): what the operator measures of images, without noise."""
        x = self._images(x, "x")
        y = np.empty((len(x), self._measurements(operator)), np.float32)
        _call("measure", self._handle, operator.encode(), len(x), _pointer(x), _pointer(y))
        return y

    def restore(self, y, operator, noise, solver, draws=1, seed=0, first=0, labels=None, **options):
        """(N, draws, C, H, W): images that could have been measured so, y = H(x) + noise z."""
        y = _array(y, np.float32, "y")
        numbers = self._measurements(operator)
        if y.ndim < 2 or y.size != len(y) * numbers:
            raise Refused(f"y: is of shape {y.shape}; expected (N, {numbers}), or images of as many numbers")
        out = np.empty((len(y), draws, *self.shape), np.float32)
        labels = self._labels(labels, len(y))
        _call("restore", self._handle, operator.encode(), noise, solver.encode(), _options(options), seed, first,
              len(y), _pointer(y), _pointer(labels), draws, _pointer(out), None, None)
        return out

    def _measurements(self, operator):
        numbers = _I64()
        _call("measurements", self._handle, operator.encode(), ctypes.addressof(numbers))
        return numbers.value

    def log_likelihood(self, x, labels=None, first=0, **options):
        """(N,) ln p(x) in nats, along the probability flow."""
        x = self._images(x, "x")
        labels = self._labels(labels, len(x))
        nats = np.empty(len(x))
        _call("log_likelihood", self._handle, _options(options), first, len(x), _pointer(x), _pointer(labels),
              _pointer(nats))
        return nats


class Trainer(_Handle):
    """A training run: out is its folder, options are ito_trainer_open's (steps, batch, lr, seed, resume, ...)."""

    _close = "ito_trainer_close"

    def __init__(self, model, out, **options):
        self._handle = _call("trainer_open", _text(model), _options({"out": os.fspath(out), **options}))
        facts, images = _Facts(), _I64()
        _call("trainer_describe", self._handle, ctypes.addressof(facts), ctypes.addressof(images))
        self._take_facts(facts)
        self.batch = images.value

    def step(self, images, labels=None):
        images = self._images(images, "images", self.batch)
        labels = self._labels(labels, self.batch)
        _call("trainer_step", self._handle, _pointer(images), _pointer(labels))

    def progress(self):
        """Steps done, and the mean loss since this was last asked."""
        done, loss = _I64(), _F64()
        _call("trainer_progress", self._handle, ctypes.addressof(done), ctypes.addressof(loss))
        return done.value, loss.value

    def save(self):
        _call("trainer_save", self._handle)


def version():
    return _library.ito_version().decode()
