"""Bulk lattice constants of binary compounds with the rocksalt, zincblende, wurtzite and fluorite structures.

Å at room temperature, the metal (or the more electropositive element) first, as in the formula. Published constants of
one compound differ in the third decimal and for some (ZnS) by 0.01 Å, so none is known to better than ±0.005 Å here.

Sources, by the key in the table: COD, entries of the Crystallography Open Database (S. Gražulis et al., Nucleic Acids
Res. 40, D420 (2012), doi:10.1093/nar/gkr900), most of them R. W. G. Wyckoff, Crystal Structures (1963); Adachi,
S. Adachi, III-V ternary and quaternary compounds, table 30.1, Springer Handbook of Electronic and Photonic Materials
(2017), doi:10.1007/978-3-319-48933-9_30; Sze, S. M. Sze and K. K. Ng, Physics of Semiconductor Devices, appendix
(2006), doi:10.1002/0470068329.
"""

from __future__ import annotations

__all__ = ["COMPOUNDS", "binary_formula", "compound_formula"]

# (first element, second element, structure): (a, c, source); c = a for cubic structures.
COMPOUNDS: dict[tuple[str, str, str], tuple[float, float, str]] = {
    ("Ag", "Br", "rocksalt"): (5.7745, 5.7745, "COD 9008596"),
    ("Ba", "O", "rocksalt"): (5.523, 5.523, "COD 9008599"),
    ("Ca", "O", "rocksalt"): (4.8107, 4.8107, "COD 7200686"),
    ("K", "Br", "rocksalt"): (6.600, 6.600, "COD 9008650"),
    ("K", "F", "rocksalt"): (5.347, 5.347, "COD 9008652"),
    ("Li", "F", "rocksalt"): (4.0173, 4.0173, "COD 9008667"),
    ("Mg", "O", "rocksalt"): (4.211, 4.211, "NCrystal data library, MgO_sg225_Periclase"),
    ("Na", "Br", "rocksalt"): (5.9732, 5.9732, "COD 9008677"),
    ("Na", "Cl", "rocksalt"): (5.6401, 5.6401, "COD 9003308"),
    ("Na", "F", "rocksalt"): (4.620, 4.620, "COD 9008679"),
    ("Na", "I", "rocksalt"): (6.4728, 6.4728, "COD 9008681"),
    ("Pb", "S", "rocksalt"): (5.9362, 5.9362, "COD 9008694"),
    ("Pb", "Te", "rocksalt"): (6.462, 6.462, "Sze"),
    ("Al", "As", "zincblende"): (5.6614, 5.6614, "Adachi"),
    ("Al", "N", "zincblende"): (4.38, 4.38, "Adachi"),
    ("Al", "P", "zincblende"): (5.4635, 5.4635, "Adachi"),
    ("Al", "Sb", "zincblende"): (6.1355, 6.1355, "Adachi"),
    ("Cd", "S", "zincblende"): (5.832, 5.832, "Sze"),
    ("Cd", "Se", "zincblende"): (6.050, 6.050, "Sze"),
    ("Cd", "Te", "zincblende"): (6.482, 6.482, "Sze"),
    ("Ga", "As", "zincblende"): (5.6533, 5.6533, "Adachi"),
    ("Ga", "N", "zincblende"): (4.52, 4.52, "Adachi"),
    ("Ga", "P", "zincblende"): (5.4508, 5.4508, "Adachi"),
    ("Ga", "Sb", "zincblende"): (6.0959, 6.0959, "Adachi"),
    ("In", "As", "zincblende"): (6.0583, 6.0583, "Adachi"),
    ("In", "N", "zincblende"): (4.986, 4.986, "Adachi"),
    ("In", "P", "zincblende"): (5.8690, 5.8690, "Adachi"),
    ("In", "Sb", "zincblende"): (6.4794, 6.4794, "Adachi"),
    ("Si", "C", "zincblende"): (4.348, 4.348, "COD 1010995"),
    ("Zn", "S", "zincblende"): (5.4145, 5.4145, "COD 1100043"),
    ("Al", "N", "wurtzite"): (3.112, 4.982, "Adachi"),
    ("Be", "O", "wurtzite"): (2.698, 4.380, "COD 9008861"),
    ("Cd", "S", "wurtzite"): (4.160, 6.756, "Sze"),
    ("Ga", "N", "wurtzite"): (3.1896, 5.1855, "Adachi"),
    ("In", "N", "wurtzite"): (3.548, 5.760, "Adachi"),
    ("Zn", "O", "wurtzite"): (3.2533, 5.2073, "COD 9004179"),
    ("Zn", "S", "wurtzite"): (3.82, 6.26, "Sze"),
    ("Ba", "F", "fluorite"): (6.2001, 6.2001, "COD 9009004"),
    ("Ce", "O", "fluorite"): (5.40972, 5.40972, "COD 4343161"),
    ("Th", "O", "fluorite"): (5.5997, 5.5997, "COD 9009046"),
}


def compound_formula(first: str, second: str, structure: str) -> str:
    """Formula of a compound of two elements: one atom of each, in fluorite two of the second."""
    return f"{first}{second}{2 if structure == 'fluorite' else ''}"


def binary_formula(first: str, second: str) -> tuple[str, str]:
    """Two elements in the order of the formula: that of the table, else metals first, else alphabetical."""
    from ase.formula import Formula

    for pair in ((first, second), (second, first)):
        if any(key[:2] == pair for key in COMPOUNDS):
            return pair
    return (first, second) if Formula(first + second).format("metal").startswith(first) else (second, first)
