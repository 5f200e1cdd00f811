"""The fixed kernels that a convolution can start with, and where each fits. Their numbers are in `netdsl/lower/kernels`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netdsl.ops.operator import Site


class Fit(NamedTuple):
    """For how many spatial axes a kernel is, and its size along each; None: whatever is asked for."""

    ranks: tuple[int, ...] = (1, 2, 3)
    size: int | None = None


KERNELS: dict[str, Fit] = {
    "sobel": Fit(size=3),
    "prewitt": Fit(size=3),
    "roberts": Fit((2,), 2),
    "laplacian": Fit(size=3),
    "gaussian_kernel": Fit(),
    "log_kernel": Fit(),
    "gabor": Fit((2,)),
}


def check_kernel(site: Site) -> None:
    """Reject an `init` that is a kernel of another size or rank than the convolution's, whose `kernel` is resolved."""
    name, kernel = site.args.init.kind, site.args.kernel
    fit = KERNELS.get(name)
    if fit is None:
        return
    if len(kernel) not in fit.ranks:
        site.fail("E0330", f"`{name}` is a kernel for {fit.ranks[0]} spatial axes, and {site.labels[0]} has {len(kernel)}",
                  helps=("`sobel`, `laplacian`, `gaussian_kernel` and `log_kernel` are for any number",), at="init")  # fmt: skip
    if fit.size is not None and any(size != fit.size for size in kernel):
        wanted, found = (" x ".join(map(str, sizes)) for sizes in ((fit.size,) * len(kernel), kernel))
        site.fail("E0330", f"`{name}` is a kernel of {wanted}, and `kernel` makes {found}",
                  helps=(f"use `kernel = {fit.size}`",), at="kernel")  # fmt: skip
