"""Certificates in exact rational arithmetic: who collapses (C3, C4) and who cannot (C7, C8).

A certificate is a finite set of rational numbers from which a reader, or the tiny program `sim.theory.verifier`,
checks a statement about *all* embeddings without trusting any optimiser. It says which statement it proves, under which exact
conditions, and in which dimensions. Embeddings are given by their distance matrices: rational, and realisable in R^m for every
m >= ``dimension``, the rank of the Gram matrix (Schoenberg 1935); or by rational points (module ``points``), with bounds on
their distances. ``certify_c7_between`` decides C7 for all p of an interval (module ``interval``).

Notation: P[i] = T[c(i)] are the label probabilities of sample i, s_ij = P(Y_i = Y_j), a = alpha, b = beta, sums over
distinct indices. pi(i) is the nearest sample with the label of i (easy positive, EPS).

**C3, C4: the bound is attained.** For x, y >= 0 with x + y >= 2a, w x + w' y >= 2a min(w, w'). With
x = [D_ij - D_ik + a]_+ and y = [D_ik - D_ij + a]_+ this bounds the expected triplet loss from below; with
x = [D_ij - b + a]_+ and y = [b + a - D_ij]_+ the expected margin loss. A collapsed embedding whose value *is* the bound shows
that "a collapsed embedding is a minimiser", in every m >= its dimension. That *every* minimiser is collapsed needs more, the
certificate's ``hypotheses``; s_AB = P(Y_i = Y_k) for i of class A, k of class B:

- C3: s_AA > s_AB, and w_ikj = P(Y_i = Y_k, Y_j != Y_i) > 0 for j of i's class and k of another. Then w_ijk > w_ikj > 0, as
  w_ijk - w_ikj = s_ij - s_ik, and equality demands D_ik = D_ij + a: from i all mates are at one distance c, all others at c + a,
  and c is the same for all i. At p = 1 (and p = 0 for t = 2) the weight is 0 and D_ik >= D_ij + a suffices: spread embeddings attain
  the bound. At p = 1/t the agreements are equal: the same. That all s_AB, B != A, are equal lets collapse attain the bound.
- C4: 1/2 < s_AA < 1 demands D = b - a =: c within classes, 0 < s_AB < 1/2 demands D = b + a between them. If all s are in (0, 1/2),
  all distances are b + a: one point, b = -a, as c = 0 below. Symmetric noise has s_in < 1/2 only for t >= 3.

c > 0 takes n - 1 dimensions: a point of one class is equally far from all points of another, so the spans of the classes (n_A - 1
dimensions each) are orthogonal to one another and to the centroids' span. Centroids have the squared distances u_A + u_B with
u_A = (c + a)^2 / 2 - c^2 (n_A - 1) / (2 n_A) > 0 (C4: c + 2a), hence t - 1 dimensions. For m <= n - 2 therefore c = 0, and for
m >= n - 1 there are minimisers with c > 0: the range of m is sharp.

**C7: EPS triplet.** In a collapsed embedding only the N = t (t - 1) / 2 distances d_AB >= 0 of the centres matter, and an
anchor of class A depends on its t - 1 of them. The loss is linear on every cell of the arrangement of the hyperplanes
d_AB = 0, d_AB = a, d_AB = d_AC, d_AB = d_AC + a within d >= 0 (the nearest positive and the active hinges are fixed
there). The orthant holds no line and the loss is >= 0, so its minimum is attained at a vertex; at a vertex each d_AB
hangs on 0 or a by a chain of such equations, so d lies in {0, a, ..., N a}^N. Hence *every* collapsed embedding, in every
dimension, has at least the least loss on that lattice (whether or not its points obey the triangle inequality): a
finite list, the certificate's ``breakpoints``, anchor by anchor. For t = 2 the loss is a piecewise linear function of one
distance with breakpoints 0 and a. Where the minimiser is realisable it is the best collapsed embedding.
A class A that is collapsed alone, the others being free, costs a at least for every ordered pair of its
samples with different labels whose anchor has a positive: ``one_class_bound`` is the least of these over A.

**C8: EPS margin, b learnt.** Write z = D - b. An anchor's expected loss is
h(z) = E[z_pi + a]_+ + sum_k (1 - s_ik) [a - z_k]_+. Clipping z to [-a, a] never increases it, and on the box it is
linear while the order of the z_k is fixed, so its minimum is at a vertex of an order polytope: z_k in {-a, a}. With
S = {k: z_k = -a} the value is 2a (sum_{k in S} (1 - s_ik) + P(no positive in S) - P(no positive)). Therefore

- over *all* embeddings and all b, E >= ``global_bound`` = sum_i min_S of this;
- over the *collapsed* ones, z_ik = -b for the whole own class and clipping keeps z_AB >= -b, so only these vertices
  remain: b = -a with everything on one point, or b = a with d_AB in {0, 2a}: again a finite list of ``breakpoints``.

Adding k to S changes the sum by (1 - s_ik) - sum_y P_iy P_ky prod_{j in S} (1 - P_jy), which grows with S and is at least
1 - 2 s_ik. For symmetric noise neither a sample of another class nor a second one of the own class ever pays: min_S is
at S = {} when s_in <= 1/2 and at one sample of the own class otherwise. So
C8 *fails* for s_in = p^2 + (1-p)^2/(t-1) <= 1/2: one point with b = -a is a global minimiser in every dimension. With two
samples a class a class is a pair, so for s_in > 1/2 the collapsed simplex with sides 2a and b = a attains the bound: C8 *fails* in every
m >= t - 1. It *holds* for s_in > 1/2, q > 0 and classes of 3 or more in high dimension: there minimisers are pairs, not classes. In
low dimension it is settled by an embedding on a line or in rational points, where one is found.

All of this was derived for this project; the paper (Levi et al., arXiv 2006.05162) is the source of the setting only.
"""

from __future__ import annotations

from sim.theory.certificates.bounds import (
    Breakpoint,
    best_collapsed,
    breakpoints,
    lattices,
    margin_easy_global_bound,
    one_class_lower_bound,
    pair_bound,
)
from sim.theory.certificates.certificate import Certificate, IntervalCertificate, NotFound
from sim.theory.certificates.certify import certify_c3, certify_c3_of, certify_c4, certify_c7, certify_c8
from sim.theory.certificates.exact import Embedding, exact_loss, gram_rank
from sim.theory.certificates.interval import certify_c7_between
from sim.theory.certificates.points import Points

__all__ = [
    "Breakpoint",
    "Certificate",
    "Embedding",
    "IntervalCertificate",
    "NotFound",
    "Points",
    "best_collapsed",
    "breakpoints",
    "certify_c3",
    "certify_c3_of",
    "certify_c4",
    "certify_c7",
    "certify_c7_between",
    "certify_c8",
    "exact_loss",
    "gram_rank",
    "lattices",
    "margin_easy_global_bound",
    "one_class_lower_bound",
    "pair_bound",
]
