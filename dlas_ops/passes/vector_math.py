"""Lowered tensor program → the same, but functions of the C library, which take one number each, as polynomials.

LLVM calls the C library once for each lane of a vector. Polynomials vectorise, whatever they stand in. Those of the
exponential and the logarithm are those of the Cephes library (S. Moshier), with errors below 2 ulp; those of tanh and
erf are quotients of odd and even polynomials, with absolute errors below 3e-7. Numbers beyond the range of float32,
zeros, infinities and what is no number come out as the C library has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tvm_ffi

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, PrimFunc

tirx = tvm.tirx

# On a tensor program that calls such a function: to visit all expressions of the others would take as long as to
# schedule them.
CALLS = "dlas.calls_library"

LOG2_E, LN2_HIGH, LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
MANTISSA_BITS, BIAS = 23, 127

# Coefficients, that of the highest power first.
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
TANH_ODD = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05,
    6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
TANH_EVEN = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
ERF_ODD = (
    -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
    -2.95459980854025e-03, -1.60960333262415e-02,
)  # fmt: skip
ERF_EVEN = (
    -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02,
)  # fmt: skip
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
# A quarter of a turn, in parts whose products with small integers are exact.
QUARTER = (1.5703125, 4.837512969970703e-4, 7.549789948768648e-8)


def marked(function: PrimFunc) -> PrimFunc:
    """Return `function` with the attribute `CALLS` if it calls a function that `vectorized` has a polynomial for."""
    found: list[str] = []
    tvm_ffi.structural_walk(function.body, (tvm.ir.Call, lambda call: found.append(_name(call))))
    return function.with_attr(CALLS, 1) if any(map(is_polynomial, found)) else function


def vectorized(function: PrimFunc) -> PrimFunc:
    """Return `function`, lowered to loops, with polynomials in the place of calls on float32 numbers and vectors."""
    if CALLS not in (function.attrs or {}):
        return function
    return function.with_body(tvm_ffi.structural_map(function.body, (tvm.ir.Call, _polynomial)))


def is_polynomial(name: str) -> bool:
    """Tell whether `vectorized` has a polynomial for TVM's function of that name."""
    return name in _POLYNOMIALS


def _polynomial(call: Expr) -> Expr:
    """Return what stands for `call`: the same number, in another way."""
    polynomial = _POLYNOMIALS.get(_name(call))
    if polynomial is None or not str(call.ty.dtype).startswith("float32"):
        return call
    argument, *rest = call.args
    return _let(argument, lambda x: polynomial(x, *rest))


def _name(call: Expr) -> str:
    return str(getattr(call.op, "name", ""))


def exp(x: Expr) -> Expr:
    """Return e to the power of `x`: 2 to the power of an integer times a polynomial of what is left."""
    # Beyond these bounds the results are infinity and 0; in this order what is no number stays so.
    bounded = tirx.Min(_like(x, 89.0), tirx.Max(_like(x, -104.0), x))

    def scaled(c: Expr, whole: Expr) -> Expr:
        rest = c - whole * _like(x, LN2_HIGH) - whole * _like(x, LN2_LOW)
        value = _let(rest, lambda r: _horner(EXP, r) * (r * r) + r + _like(x, 1.0))
        power = tirx.Cast(_dtype(x, "int32"), whole)

        # In two steps: the power alone may be beyond what a float32 holds.
        def twice(n: Expr) -> Expr:
            return _let(tirx.shift_right(n, _like(n, 1)), lambda half: value * _power(half) * _power(n - half))

        return _let(power, twice)

    return _let(bounded, lambda c: _let(tirx.floor(c * _like(x, LOG2_E) + _like(x, 0.5)), lambda n: scaled(c, n)))


def exp_of_negative(x: Expr) -> Expr:
    """Return e to the power of `x`, which is at most 0, in fewer steps than `exp`; of less than -87 it is that of -87.

    Unlike the functions here that take the place of a call, this one can be called where a program is defined.
    """
    bounded = tirx.Max(x, _like(x, -87.0))

    def scaled(c: Expr, whole: Expr) -> Expr:
        rest = c - whole * _like(x, LN2_HIGH) - whole * _like(x, LN2_LOW)
        value = _let(rest, lambda r: _horner(EXP, r) * (r * r) + r + _like(x, 1.0))
        power = tirx.shift_left(tirx.Cast(_dtype(x, "int32"), whole), tirx.const(MANTISSA_BITS, "int32"))
        return tirx.reinterpret(_dtype(x, "float32"), tirx.reinterpret(_dtype(x, "int32"), value) + power)

    return _let(bounded, lambda c: _let(tirx.floor(c * _like(x, LOG2_E) + _like(x, 0.5)), lambda n: scaled(c, n)))


def log(x: Expr) -> Expr:
    """Return the natural logarithm of `x`: that of its power of 2, and a polynomial of its mantissa."""
    least = _like(x, 1.17549435e-38)
    tiny = x < least
    normal = tirx.Select(tiny, x * _like(x, float(1 << MANTISSA_BITS)), x)
    below = tirx.Select(tiny, _like(x, -float(MANTISSA_BITS)), _like(x, 0.0))

    def of(bits: Expr) -> Expr:
        # The mantissa is brought between the root of a half and that of 2.
        power = tirx.shift_right(bits - _like(bits, 0x3F3504F3), _like(bits, MANTISSA_BITS))

        def sum_of(e: Expr) -> Expr:
            mantissa = tirx.reinterpret(_dtype(x, "float32"), bits - tirx.shift_left(e, _like(e, MANTISSA_BITS)))
            whole = tirx.Cast(_dtype(x, "float32"), e) + below
            return _let(whole, lambda w: _let(mantissa - _like(x, 1.0), lambda f: series(f, w)))

        return _let(power, sum_of)

    def series(f: Expr, whole: Expr) -> Expr:
        square = f * f
        rest = f * square * _horner(LOG, f) + whole * _like(x, LN2_LOW) - square * _like(x, 0.5)
        return f + rest + whole * _like(x, LN2_HIGH)

    value = _let(tirx.reinterpret(_dtype(x, "int32"), normal), of)
    infinity = float("inf")
    at_zero = tirx.Select(x == _like(x, 0.0), _like(x, -infinity), _like(x, float("nan")))
    return tirx.Select(x > _like(x, 0.0), tirx.Select(x < _like(x, infinity), value, x), at_zero)


def tanh(x: Expr) -> Expr:
    """Return the hyperbolic tangent of `x`."""
    return _quotient(x, TANH_ODD, TANH_EVEN, 7.90531110763549805)


def erf(x: Expr) -> Expr:
    """Return the error function of `x`."""
    return _quotient(x, ERF_ODD, ERF_EVEN, 4.0)


def sigmoid(x: Expr) -> Expr:
    """Return the logistic function of `x`."""
    return _like(x, 1.0) / (_like(x, 1.0) + _let(_like(x, 0.0) - x, exp))


def power(x: Expr, exponent: Expr) -> Expr:
    """Return `x` to the power of `exponent`; products, where that is a small whole number."""
    number = exponent.value if isinstance(exponent, tirx.Broadcast) else exponent
    if isinstance(number, tirx.FloatImm) and float(number.value).is_integer() and 0 <= float(number.value) <= 16:
        return _product(x, int(number.value))
    zero = _like(x, 0.0)

    def signed(y: Expr, positive: Expr) -> Expr:
        odd = tirx.floor(y * _like(x, 0.5)) * _like(x, 2.0) != y
        of_negative = tirx.Select(odd, zero - positive, positive)
        of_negative = tirx.Select(tirx.floor(y) == y, of_negative, _like(x, float("nan")))
        return tirx.Select(y == zero, _like(x, 1.0), tirx.Select(x < zero, of_negative, positive))

    def of(y: Expr) -> Expr:
        size = tirx.Select(x < zero, zero - x, x)
        value = _let(_let(size, log), lambda found: _let(y * found, exp))
        return _let(value, lambda positive: signed(y, positive))

    return _let(exponent, of)


def sin(x: Expr) -> Expr:
    """Return the sine of `x`, radians; the error grows with turns, to 1e-6 at a thousand of them."""
    return _wave(x, 0)


def cos(x: Expr) -> Expr:
    """Return the cosine of `x`, radians; see `sin`."""
    return _wave(x, 1)


def _wave(x: Expr, quarters: int) -> Expr:
    """Return the sine of `x` and so many quarters of a turn."""

    def of(whole: Expr) -> Expr:
        rest = x
        for part in QUARTER:
            rest = rest - whole * _like(x, part)
        turn = tirx.Cast(_dtype(x, "int32"), whole)
        return _let(turn + _like(turn, quarters), lambda q: _let(rest, lambda r: part_of(q, r)))

    def part_of(quarter: Expr, r: Expr) -> Expr:
        square = r * r
        sine = _horner(SIN, square) * square * r + r
        cosine = _horner(COS, square) * square * square - square * _like(x, 0.5) + _like(x, 1.0)
        zero = _like(quarter, 0)
        value = tirx.Select(tirx.bitwise_and(quarter, _like(quarter, 1)) == zero, sine, cosine)
        below = tirx.bitwise_and(quarter, _like(quarter, 2)) != zero
        return _let(value, lambda v: tirx.Select(below, _like(x, 0.0) - v, v))

    return _let(tirx.floor(x * _like(x, 0.636619772367581343) + _like(x, 0.5)), of)


def _quotient(x: Expr, odd: Sequence[float], even: Sequence[float], bound: float) -> Expr:
    """Return the odd function `x` * `odd`(x²) / `even`(x²), which is constant beyond `bound`."""
    bounded = tirx.Min(_like(x, bound), tirx.Max(_like(x, -bound), x))
    return _let(bounded, lambda c: _let(c * c, lambda square: c * _horner(odd, square) / _horner(even, square)))


def _product(x: Expr, count: int) -> Expr:
    """Return the product of `count` times `x`."""
    if count < 2:
        return x if count else _like(x, 1.0)
    half = _let(_product(x, count // 2), lambda root: root * root)
    return half * x if count % 2 else half


def _power(n: Expr) -> Expr:
    """Return 2 to the power of the integer `n`."""
    bits = tirx.shift_left(n + _like(n, BIAS), _like(n, MANTISSA_BITS))
    return tirx.reinterpret(_dtype(n, "float32"), bits)


def _horner(coefficients: Sequence[float], x: Expr) -> Expr:
    value = _like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + _like(x, coefficient)
    return value


def _let(value: Expr, body: Callable[[Expr], Expr]) -> Expr:
    """Return `body` of a variable that holds `value`, which is so computed once."""
    number = value.value if isinstance(value, tirx.Broadcast) else value
    if isinstance(number, tirx.Var | tirx.FloatImm | tirx.IntImm):
        return body(value)
    variable = tirx.Var("held", value.ty)
    return tirx.Let(variable, value, body(variable))


def _dtype(x: Expr, element: str) -> str:
    """Return the dtype of as many of `element` as `x` has lanes."""
    lanes = _lanes(x)
    return element if lanes == 1 else f"{element}x{lanes}"


def _like(x: Expr, value: float) -> Expr:
    """Return `value` in every lane, in the dtype of `x`."""
    dtype, lanes = str(x.ty.dtype), _lanes(x)
    number = tirx.const(value, dtype.split("x")[0] if lanes > 1 else dtype)
    return number if lanes == 1 else tirx.Broadcast(number, lanes)


def _lanes(x: Expr) -> int:
    return int(tvm.DataType(str(x.ty.dtype)).lanes)


# By the name of TVM's function.
_POLYNOMIALS: dict[str, Callable[..., Expr]] = {
    "tirx.exp": exp,
    "tirx.log": log,
    "tirx.tanh": tanh,
    "tirx.erf": erf,
    "tirx.sigmoid": sigmoid,
    "tirx.pow": power,
    "tirx.sin": sin,
    "tirx.cos": cos,
}
