from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import gemmi
import numpy as np
import pytest
from fake_archive import FakeArchive
from shared import shared

from vitreous.data.archives import mnist, pdb
from vitreous.data.download.client import Client
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError
from vitreous.io.structures import read_assembly

MODEL = """data_7A4M
_entry.id 7A4M
_cell.length_a 1
_cell.length_b 1
_cell.length_c 1
loop_
_pdbx_struct_assembly.id
_pdbx_struct_assembly.details
_pdbx_struct_assembly.method_details
_pdbx_struct_assembly.oligomeric_details
_pdbx_struct_assembly.oligomeric_count
1 author_defined_assembly ? dimeric 2
loop_
_pdbx_struct_assembly_gen.assembly_id
_pdbx_struct_assembly_gen.oper_expression
_pdbx_struct_assembly_gen.asym_id_list
1 '1,2' A
loop_
_pdbx_struct_oper_list.id
_pdbx_struct_oper_list.type
_pdbx_struct_oper_list.matrix[1][1]
_pdbx_struct_oper_list.matrix[1][2]
_pdbx_struct_oper_list.matrix[1][3]
_pdbx_struct_oper_list.vector[1]
_pdbx_struct_oper_list.matrix[2][1]
_pdbx_struct_oper_list.matrix[2][2]
_pdbx_struct_oper_list.matrix[2][3]
_pdbx_struct_oper_list.vector[2]
_pdbx_struct_oper_list.matrix[3][1]
_pdbx_struct_oper_list.matrix[3][2]
_pdbx_struct_oper_list.matrix[3][3]
_pdbx_struct_oper_list.vector[3]
1 'identity operation' 1 0 0 0 0 1 0 0 0 0 1 0
2 'point symmetry operation' -1 0 0 10 0 -1 0 20 0 0 1 0
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_entity_id
_atom_site.label_seq_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.pdbx_PDB_model_num
ATOM 1 C CA . ALA A 1 1 1.0 2.0 3.0 1.0 10.0 1 A 1
ATOM 2 C CA . GLY A 1 2 4.0 5.0 6.0 1.0 10.0 2 A 1
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "pdb/7a4m.cif.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(MODEL.encode()))
    return path


def settings(archive: FakeArchive, **mirrors: str) -> NetworkSettings:
    return NetworkSettings.model_validate({"mirrors": {**archive.mirrors, **mirrors}, "tries": 1})


def test_an_entry_is_one_file_on_the_file_server_and_in_the_divided_tree(
    archive: FakeArchive, model: Path
) -> None:
    tree = f"{archive.url}/pub/pdb/data/structures/divided/mmCIF"
    for network in (settings(archive), settings(archive, pdb=tree)):
        (file,) = pdb.find_files(network, "7A4M")
        assert file.path == "7a4m.cif.gz" and file.licence == "CC0"
        assert Client(network).size(file.url) == model.stat().st_size
    assert file.url == f"{tree}/a4/7a4m.cif.gz"


@pytest.mark.parametrize("code", ["EMD-2660", "../1abc", "a7m4", ""])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(InputError, match="not a PDB code"):
        pdb.find_files(NetworkSettings(), code)


def test_an_assembly_is_built_by_its_operators(model: Path) -> None:
    built = read_assembly(model)
    positions = [atom.pos.tolist() for atom in (cra.atom for cra in built[0].all())]
    expected = [[1, 2, 3], [4, 5, 6], [9, 18, 3], [6, 15, 6]]
    np.testing.assert_allclose(sorted(positions), sorted(expected), atol=1e-6)
    assert len({chain.name for chain in built[0]}) == 2 and len(built) == 1
    assert isinstance(built, gemmi.Structure) and built.name.upper() == "7A4M"


def test_a_virus_shell_is_sixty_copies_of_one_model_turned_by_its_rotations(tmp_path: Path) -> None:
    rotations = np.loadtxt(shared("data/models/2buk_rotations.txt")).reshape(-1, 3, 3)
    part = gemmi.read_structure(str(shared("data/models/2buk_asu.cif.gz")))
    generator = gemmi.Assembly.Gen()
    generator.subchains = sorted({residue.subchain for chain in part[0] for residue in chain})
    for number, rotation in enumerate(rotations):
        operator = gemmi.Assembly.Operator()
        operator.name = str(number + 1)
        operator.transform.mat.fromlist(rotation.tolist())
        generator.operators.append(operator)
    whole = gemmi.Assembly("1")
    whole.generators.append(generator)
    part.assemblies.append(whole)
    part.make_mmcif_document().write_file(str(tmp_path / "shell.cif"))

    def positions(model: gemmi.Model) -> np.ndarray:
        return np.array([cra.atom.pos.tolist() for cra in model.all()])

    one, built = positions(part[0]), positions(read_assembly(tmp_path / "shell.cif")[0])
    expected = np.einsum("rij,nj->rni", rotations, one)
    got = built.reshape(60, len(one), 3)
    for copy in got[[0, 7, 59]]:
        assert np.abs(expected - copy).max(axis=(1, 2)).min() < 0.01


def test_an_assembly_that_is_not_there_is_answered_with_those_that_are(model: Path) -> None:
    with pytest.raises(InputError, match=r"found 1, expected 2"):
        read_assembly(model, "2")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text("<html>service</html>")
    (tmp_path / "empty.cif").write_text("data_x\n")
    for name in ("a.cif", "absent.cif", "empty.cif"):
        with pytest.raises(InputError) as error:
            read_assembly(tmp_path / name)
        assert "\n" not in str(error.value) and name in str(error.value)


def test_the_digits_are_four_files_of_known_bytes(archive: FakeArchive) -> None:
    files = mnist.find_files(settings(archive))
    assert [file.path for file in files] == list(mnist.FILES)
    assert sum(file.bytes or 0 for file in files) == 11_594_722
    assert all(file.licence == "CC BY-SA 3.0" for file in files)
    assert all(file.url == f"{archive.url}/mnist/{file.path}" for file in files)


def test_the_digits_here_have_the_stated_checksums() -> None:
    for file in mnist.find_files(NetworkSettings()):
        body = shared(f"data/mnist/{file.path}").read_bytes()
        assert (len(body), f"md5:{hashlib.md5(body).hexdigest()}") == (file.bytes, file.pieces[0].checksum)
