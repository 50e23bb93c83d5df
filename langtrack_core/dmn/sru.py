"""Simple Recurrent Unit, the cell of January 2018 DMN was published with.

Lei et al., "Simple Recurrent Units for Highly Parallelizable Recurrence" (arXiv:1709.02755,
v3 onwards differ); parameter layout of the release that DMN used, so that its checkpoints load key for key.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class SRUCell(nn.Module):
    """One layer: all matrix products first, then an element-wise scan over time.

    With x~ = W x, f = sigmoid(W_f x + b_f), r = sigmoid(W_r x + b_r):
    c_t = f c_{t-1} + (1 - f) x~ and h_t = r tanh(c_t) + (1 - r) x', where x' = x when input and output sizes
    agree and a fourth projection of x otherwise.

    ``weight`` is (n_in, n_out * k), laid out as (n_in, n_out, k) with k = 3 or 4 in the order x~, f, r, x';
    ``bias`` is (2 * n_out): forget, then reset."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out
        self.projections = 3 if n_in == n_out else 4
        self.weight = nn.Parameter(torch.empty(n_in, n_out * self.projections))
        self.bias = nn.Parameter(torch.zeros(2 * n_out))
        # Uniform with the variance 1/n_in (the paper's section on initialisation).
        nn.init.uniform_(self.weight, -((3.0 / n_in) ** 0.5), (3.0 / n_in) ** 0.5)

    def project(self, x: Tensor, rows: Tensor | None = None) -> list[Tensor]:
        """``(..., n_in)`` to W x, W_f x, W_r x, x', each ``(..., n_out)``; the last two of ``rows`` alone."""
        # A product for each projection: one for all would have to be cut apart, at a fifth of its time.
        weights = self.weight.view(-1, self.n_out, self.projections).unbind(-1)
        late = x if rows is None else x[rows]
        highway = late @ weights[3] if self.projections == 4 else late
        return [x @ weights[0], x @ weights[1], late @ weights[2], highway]

    def forward(
        self, x: Tensor | list[Tensor], counts: list[int] | None = None, rows: Tensor | None = None
    ) -> Tensor:
        """``(T, N, n_in)``, or its projections, to hidden states ``(T, N, n_out)``, from a zero cell on.

        Args:
            counts: sequences of several lengths, in the order of `WordRows`: x is ``(sum(counts), N, n_in)``,
                the first step of all, then the second of those ``counts[1]`` that have one, and so on.
            rows: of the hidden states, only these along the first axis are worked out.
        """
        if isinstance(x, Tensor):
            x = self.project(x, rows)
        elif rows is not None:
            x = [*x[:2], x[2][rows], x[3][rows]]
        candidate, forget, reset, highway = x
        bias_f, bias_r = self.bias.chunk(2)
        forget = torch.sigmoid(forget + bias_f)
        counts = counts or [1] * len(candidate)
        cell = torch.zeros_like(candidate[: counts[0]])
        cells = []
        # Split rather than indexed: the gradient of x[t] would fill a whole tensor with zeros at every step.
        for f, x_t in zip(forget.split(counts), candidate.split(counts), strict=True):
            cell = x_t + f * (cell[: len(x_t)] - x_t)
            cells.append(cell)
        states = torch.cat(cells)
        states = states if rows is None else states[rows]
        reset = torch.sigmoid(reset + bias_r)
        return highway + reset * (torch.tanh(states) - highway)


class SRU(nn.Module):
    """A stack of cells; parameter names (``rnn_lst.0.weight`` …) as in the published checkpoints."""

    def __init__(self, n_in: int, n_hidden: int, layers: int) -> None:
        super().__init__()
        self.rnn_lst = nn.ModuleList(SRUCell(n_in if i == 0 else n_hidden, n_hidden) for i in range(layers))

    def forward(
        self, x: Tensor | list[Tensor], counts: list[int] | None = None, rows: Tensor | None = None
    ) -> Tensor:
        """``(T, N, n_in)`` to the last layer's hidden states ``(T, N, n_hidden)``; the rest as the cell."""
        for cell in self.rnn_lst[:-1]:
            x = cell(x, counts)
        return self.rnn_lst[-1](x, counts, rows)


class WordRows(NamedTuple):
    """Pairs of an expression and a word, in the order in which the recurrence takes them: the first words of
    all expressions, then the second words of those that have one, and so on.

    The longest expression comes first, so that each step goes on from a leading part of the rows before it.
    Three expressions of 2, 1 and 3 words:

        step          0  0  0  1  1  2
        expression    2  0  1  2  0  2
        word          0  0  0  1  1  2

    The counts are 3, 2, 1, and the last words of the three expressions are in the rows 4, 2 and 5.

    Attributes:
        expression, word: ``(R,)`` indices of each row.
        counts: rows of each step.
        last_row: ``(N,)`` the row of each expression's last word.
    """

    expression: Tensor
    word: Tensor
    counts: list[int]
    last_row: Tensor

    @classmethod
    def of(cls, last: Tensor, words: int) -> WordRows:
        """For the index ``(N,)`` of each expression's last word, of ``words`` at the most."""
        if len(last) == 1:  # with all padding words, whatever the length: OpenVINO's models have fixed shapes
            order, counts = torch.zeros_like(last), [1] * words
        else:
            order = last.argsort(descending=True)
            counts = [int((last >= word).sum()) for word in range(words)]
        expression = torch.cat([order[:count] for count in counts])
        word = torch.cat([order.new_full((count,), word) for word, count in enumerate(counts)])
        first_rows = torch.tensor([sum(counts[:step]) for step in range(words)], device=last.device)
        return cls(expression, word, counts, first_rows[last] + order.argsort())
