"""Every file of the reference data's formats/ does what its README says it must; none is left uncovered."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shared import shared

from vitreous.errors import InputError
from vitreous.io.check import check_file
from vitreous.io.coordinates import read_coordinates
from vitreous.io.cryosparc import cs_to_particles, read_cs
from vitreous.io.micrograph import read_micrograph
from vitreous.io.mrc import open_stack, read_array, read_header, read_volume, validate
from vitreous.io.particles import ParticleSet, ctf_columns, pixel_sizes_A, read_particles
from vitreous.io.star import read_star, write_star

FOLDER = "data/formats"

# STAR: the blocks that must come, as rows × columns of a loop or the number of values
STAR: dict[str, dict[str, tuple[int, int] | int]] = {
    "mtf_falcon2_300kV": {"mtf_f2_300": (1001, 2)},
    "relion30_autopick": {"coordinate_files": (1, 2)},
    "relion30_incomplete_ctf": {"model_class_1": (1, 28)},
    "relion30_particles": {"model_class_1": (17, 29)},
    "relion30_pfcrt": {"images": (5, 22)},
    "relion31_6optics": {"optics": (6, 18), "particles": (139, 23)},
    "relion31_particles": {"optics": (2, 8), "particles": (17, 26)},
    "relion31_short": {"optics": (1, 9), "particles": (5, 26)},
    "relion31_short_v2": {"particles": (5, 26), "optics": (1, 9)},
    "relion4_autopick": {"coordinate_files": (1, 2)},
    "relion4_extract": {"optics": (1, 10), "particles": (269, 16)},
    "relion4_micrographs": {"optics": (1, 8), "micrographs": (1, 2)},
    "relion4_micrographs_ctf": {"optics": (1, 8), "micrographs": (1, 9)},
    "relion4_mtf_300kV": {"mtf_300kV": (65, 2)},
    "relion4_select": {"optics": (1, 10), "particles": (262, 25)},
    "relion5": {"optics": (1, 18), "particles": (17, 26)},
    "relion_coords": {"": (440, 5)},
    "relion_model": {
        "model_general": 22, "model_classes": (1, 4), "model_class_1": (76, 8), "model_groups": (1, 4),
        "model_group_1": (76, 3), "model_pdf_orient_class_1": (192, 1),
    },
    "relion_optimiser_2D": {"optimiser_general": 84},
    "relion_sampling_2D": {"sampling_general": 12},
    "relion_symmetry_D4": {"model_class_1": (17, 30)},
    "starfile_basic_double_quote": {"": 4},
    "starfile_basic_single_quote": {"": 4},
    "starfile_default_pipeline": {
        "pipeline_general": 1, "pipeline_processes": (31, 4), "pipeline_nodes": (74, 2),
        "pipeline_input_edges": (48, 2), "pipeline_output_edges": (72, 2),
    },
    "starfile_empty_loop": {"": (0, 1)},
    "starfile_loop_double_quote": {"": (2, 8)},
    "starfile_loop_single_quote": {"": (2, 8)},
    "starfile_one_loop": {"": (16, 12)},
    "starfile_postprocess": {"general": 6, "fsc": (49, 7), "guinier": (49, 3)},
    "starfile_rln3.1_data_style": {"block_1": (1, 7), "block_2": (2, 5), "block_3": (2, 5)},
    "starfile_single_line_end_of_multiblock": {"block_1": (2, 5), "block_2": (1, 5)},
    "starfile_single_line_middle_of_multiblock": {"block_1": (1, 5), "block_2": (1, 5)},
    "starfile_two_basic_blocks": {"block_0": 3, "block_1": 3},
    "starfile_two_single_line_loop_blocks": {"block_0": (1, 3), "block_1": (1, 3)},
    "topaz_10025_ctf_params": {"images": (30, 10)},
}  # fmt: skip

STAR_AS_THE_ORIGINAL = ("crlf", "tabs", "bom", "comments_and_blank_lines")

# STAR that must be refused, with the place
STAR_REFUSED = {
    "row_short": "line 47: row with a wrong number of fields.*found 23 fields, expected 26",
    "row_long": "line 47: row with a wrong number of fields.*found 28 fields, expected 26",
    "text_in_number": "line 46, column rlnDefocusU: not a number.*found abc",
    "duplicate_column": "line 29: label stands twice.*_rlnDefocusV",
    "unknown_optics_group": r"line 44, column rlnOpticsGroup: optics group is not in data_optics \(found 7",
    "image_name_without_index": "line 44, column rlnImageName: not an image name.*sample.mrcs .and 1 more",
    "binary": "binary data",
    "empty": "file is empty",
    "truncated": "line 56: the file ends inside a row: truncated",
    "nan_defocus": "line 45, column rlnDefocusU: not a finite number",
    "no_optics": "without data_optics: voltage and pixel size unknown",
}

# coordinates: picks, first centre (x, y) and first score
COORDINATES = {
    "aspire_sample.box": (440, (3523 + 128, 2905 + 128), None),
    "aspire_sample.coord": (440, (3523, 2905), None),
    "boxmanager_2d_center.box": (3, (24, 40), None),
    "boxmanager_2d_center_float.box": (3, (24.3, 40.7), None),
    "boxmanager_2d_left.box": (3, (24, 40), None),
    "boxmanager_2d_empty.box": (0, None, None),
    "boxmanager_2d_particles.cbox": (3, (11.6877 + 12.5, 27.959892 + 12.5), None),
    "crYOLO_Falcon_2012_06_12-14_33_35_0.box": (719, (2979, 3975), 0.6598718762397766),
    "crYOLO_Falcon_2012_06_12-15_17_31_0.box": (627, (298, 3917), 0.6154586672782898),
    "deepPicker_Falcon_2012_06_12-14_33_35_0.box": (381, (522, 126), 0.78618085),
    "deepPicker_Falcon_2012_06_12-15_17_31_0.box": (299, (162, 90), 0.5054148),
    "topaz_Falcon_2012_06_12-14_33_35_0.box": (789, (2092, 912), 7.182231),
    "topaz_Falcon_2012_06_12-15_17_31_0.box": (732, (3312, 2328), 6.3771067),
    "cryolo_new.cbox": (125, (4572.01, 3934.47), 0.14524617791175842),
    "cryolo_old.cbox": (125, (4572.0, 3934.5), 0.14524617791175842),
    "topaz_10025_particles.txt": (1500, (6924, 2481), None),
}
COORDINATES_REFUSED = {
    "boxmanager_2d_corrupt_has_string.box": "line 2: not a number.*sixty_three",
    "boxmanager_2d_corrupt_unqual_columns.box": "line 3: wrong number of columns",
}

# MRC that must give the array of made/mode2_float32: how far it may be off after a factor
SAME_ARRAY = {
    "made/mode2_float32.mrc": (0.0, 1.0), "made/big_endian.mrc": (0.0, 1.0),
    "made/stamp_4441.mrc": (0.0, 1.0),
    "made/mode2_float32.mrc.gz": (0.0, 1.0), "made/fei1_extended_header.mrc": (0.0, 1.0),
    "made/symmetry_records_240.mrc": (0.0, 1.0), "made/mode12_float16.mrc": (2.5e-4, 1.0),
    "made/mode1_int16.mrc": (5e-4, 1e-3), "made/stack_of_images.mrcs": (0.0, 1.0),
    "made/zero_cell.mrc": (0.0, 1.0),
    "made/anisotropic_voxel.mrc": (0.0, 1.0), "made/extra_bytes_at_end.mrc": (0.0, 1.0),
    "made/wrong_stamp_little_endian_data.mrc": (0.0, 1.0), "made/zero_stamp.mrc": (0.0, 1.0),
    "made/no_MAP_word.mrc": (0.0, 1.0),
}  # fmt: skip
MRC_REFUSED = {
    "corrupt_50bytes.mrc": "found 50 bytes, expected 1024 or more",
    "not_an_mrc.png": "not an MRC file.*PNG",
    "made/truncated_data.mrc": "truncated.*found 13312 bytes, expected 25600 bytes",
    "made/header_only.mrc": "truncated.*found 1024 bytes, expected 25600 bytes",
    "made/empty.mrc": "file is empty",
    "made/unknown_mode77.mrc": "unknown MRC mode.*mode 77",
    "made/negative_nx.mrc": "not positive.*nx -32",
    "made/extended_header_longer_than_file.mrc": "extended header is longer than the file",
    "made/truncated.mrc.gz": "damaged",
}
MRC_SAID = {  # read, and what is odd is said
    "made/extra_bytes_at_end.mrc": "333 bytes more than the header says",
    "made/zero_cell.mrc": "pixel size is not set",
    "made/anisotropic_voxel.mrc": "not square: 1.05, 1.05, 2.1",
    "made/nan_inf.mrc": r"2 NaN or infinite values, the first at \(3, 5, 7\)",
    "made/constant.mrc": "standard deviation 0",
    "de_movie.mrc": "negative edges",
    "aspire_one_image.mrcs": "pixel size is not set",
    "boxmanager_2d.mrc": "pixel size is not set",
}
MRC_REMARKED = {  # read as it should be, and what is odd is said all the same
    "made/wrong_stamp_little_endian_data.mrc": "machine stamp 11 11",
    "made/zero_stamp.mrc": "machine stamp 00 00",
    "made/no_MAP_word.mrc": "no MAP word",
    "EMD-3001.map": r"order \(3, 1, 2\)",
    "axes321_half1.ccp4": r"order \(3, 2, 1\)",
    "axes321_half2.ccp4": r"order \(3, 2, 1\)",
    "start100_axes321.ccp4": "starts at an offset",
}


def particles_of(name: str) -> ParticleSet:
    return read_particles(shared(f"{FOLDER}/star/{name}.star"))


@pytest.mark.parametrize("name", STAR)
def test_star_files_give_the_blocks_they_hold_and_survive_a_round_trip(name: str, tmp_path: Path) -> None:
    blocks = read_star(shared(f"{FOLDER}/star/{name}.star"))
    sizes = {
        key: block.shape if isinstance(block, pd.DataFrame) else len(block) for key, block in blocks.items()
    }
    assert sizes == STAR[name] and list(sizes) == list(STAR[name])
    write_star(tmp_path / "copy.star", blocks)
    for key, block in read_star(tmp_path / "copy.star").items():
        if isinstance(block, pd.DataFrame):
            pd.testing.assert_frame_equal(block, blocks[key], check_exact=True)  # type: ignore[arg-type]
        else:
            assert block == blocks[key]


@pytest.mark.parametrize("name", STAR_AS_THE_ORIGINAL)
def test_star_files_in_other_dress_read_as_the_original(name: str) -> None:
    original, other = particles_of("relion31_particles"), particles_of(f"made/{name}")
    pd.testing.assert_frame_equal(other.particles, original.particles, check_exact=True)
    pd.testing.assert_frame_equal(other.optics, original.optics, check_exact=True)


@pytest.mark.parametrize("name", STAR_REFUSED)
def test_bad_star_files_are_refused_with_file_and_place(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}\.star: .*{STAR_REFUSED[name]}"):
        particles_of(f"made/{name}")
    assert check_file(shared(f"{FOLDER}/star/made/{name}.star")).faults


def test_a_star_file_of_headers_only_holds_no_particles_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert len(particles_of("made/only_header")) == 0 and "no particles" in caplog.text
    assert "no particles" in check_file(shared(f"{FOLDER}/star/made/only_header.star")).faults


def test_relion_30_particles_have_their_pixel_size_and_groups() -> None:
    old = particles_of("relion30_particles")
    assert pixel_sizes_A(old) == pytest.approx(1.338, abs=1e-6)  # the file's seven digits
    assert old.particles["rlnOpticsGroup"].value_counts().to_dict() == {2: 9, 1: 8}
    assert pixel_sizes_A(particles_of("relion30_pfcrt")) == pytest.approx(1.035)
    assert len(particles_of("relion_symmetry_D4")) == 17
    assert "rlnSymmetryGroup" in particles_of("relion_symmetry_D4").particles


@pytest.mark.parametrize(
    ("name", "column"),
    [("relion30_pfcrt", "rlnAmplitudeContrast"), ("relion30_incomplete_ctf", "rlnVoltage")],
)
def test_a_missing_value_of_the_ctf_is_named_and_not_invented(
    name: str, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    particles = particles_of(name)
    assert column in caplog.text and column not in particles.optics
    with pytest.raises(InputError, match=f"column missing: {column}"):
        ctf_columns(particles)
    assert any(column in fault for fault in check_file(shared(f"{FOLDER}/star/{name}.star")).faults)


def test_voltage_and_pixel_size_follow_the_row_s_optics_group() -> None:
    ctf = ctf_columns(particles_of("relion31_particles"))
    assert ctf["voltage_kv"].tolist() == [300.0] * 8 + [200.0] * 9
    six = particles_of("relion31_6optics")
    assert six.particles["rlnOpticsGroup"].value_counts().to_dict() == {
        1: 48,
        2: 29,
        3: 5,
        4: 7,
        5: 26,
        6: 24,
    }
    groups = six.particles["rlnOpticsGroup"].isin([2, 5]).to_numpy()
    assert np.array_equal(pixel_sizes_A(six), np.where(groups, 1.24, 1.25))
    assert six.optics["rlnOddZernike"][0].startswith("[1.70554063513,1.2131261042,")


def test_the_order_of_the_blocks_does_not_matter() -> None:
    first, second = particles_of("relion31_short"), particles_of("relion31_short_v2")
    pd.testing.assert_frame_equal(first.particles, second.particles)
    pd.testing.assert_frame_equal(first.optics, second.optics)


def test_quoted_words_are_one_word_and_empty_quotes_are_empty() -> None:
    for quote in ("single", "double"):
        loop = read_star(shared(f"{FOLDER}/star/starfile_loop_{quote}_quote.star"))[""]
        assert isinstance(loop, pd.DataFrame)
        assert loop.iloc[0].tolist() == ["noquote", "quote string", " ", "", "4.0", "5.0", 6.0, ""]
        assert loop.iloc[1].tolist() == ["noquote", "quote string", " ", "", "noquote", "", 7.0, "test"]
        pairs = read_star(shared(f"{FOLDER}/star/starfile_basic_{quote}_quote.star"))[""]
        assert list(pairs.values()) == ["noquote", "quote string", " ", ""]


@pytest.mark.parametrize("name", COORDINATES)
def test_coordinate_files_give_centres(name: str, caplog: pytest.LogCaptureFixture) -> None:
    count, centre, score = COORDINATES[name]
    picks = read_coordinates(shared(f"{FOLDER}/coords/{name}"))
    assert len(picks) == count
    if centre is None:
        assert "no picks" in caplog.text
        return
    assert picks[["x", "y"]].to_numpy()[0] == pytest.approx(centre, abs=0.02)  # cryolo_old is rounded to 0.1
    assert np.isnan(picks["score"][0]) if score is None else picks["score"][0] == score


@pytest.mark.parametrize("name", COORDINATES_REFUSED)
def test_bad_coordinate_files_are_refused_with_the_line(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: {COORDINATES_REFUSED[name]}"):
        read_coordinates(shared(f"{FOLDER}/coords/{name}"))


def test_two_forms_of_the_same_picks_agree() -> None:
    folder = shared(f"{FOLDER}/coords")
    old, new = read_coordinates(folder / "cryolo_old.cbox"), read_coordinates(folder / "cryolo_new.cbox")
    assert np.allclose(old[["x", "y"]], new[["x", "y"]], atol=0.06)  # the old form is rounded to 0.1 px
    assert np.allclose(old["score"], new["score"]) and np.array_equal(old["diameter_px"], new["diameter_px"])
    assert any(
        "below crYOLO's usual threshold" in fault for fault in check_file(folder / "cryolo_new.cbox").faults
    )
    box = read_coordinates(folder / "aspire_sample.box", kind="box-centre")
    assert np.array_equal(box[["x", "y"]], read_coordinates(folder / "aspire_sample.coord")[["x", "y"]])
    assert read_coordinates(folder / "boxmanager_2d_left.box")[["x", "y"]].values.tolist() == [
        [24, 40],
        [36, 62],
        [78, 51],
    ]
    topaz = read_coordinates(folder / "topaz_10025_particles.txt")
    names = read_star(folder.parent / "star/topaz_10025_ctf_params.star")["images"]["rlnMicrographName"]
    assert {f"{name}.mrc" for name in topaz["micrograph"]} == set(names)  # names without ending


@pytest.mark.parametrize("name", SAME_ARRAY)
def test_mrc_variants_give_the_same_array(name: str) -> None:
    tolerance, factor = SAME_ARRAY[name]
    folder = shared(f"{FOLDER}/mrc")
    array = read_array(folder / name) * factor
    assert array.shape == (8, 24, 32) and array.flat[0] == pytest.approx(-0.057018, abs=tolerance + 1e-6)
    assert np.abs(array - read_array(folder / "made/mode2_float32.mrc")).max() <= tolerance
    assert array.mean() == pytest.approx(0.014614, abs=tolerance + 1e-6)


@pytest.mark.parametrize("name", MRC_REFUSED)
def test_bad_mrc_files_are_refused(name: str) -> None:
    path = shared(f"{FOLDER}/mrc/{name}")
    with pytest.raises(InputError, match=f"{path.name}: .*{MRC_REFUSED[name]}"):
        read_array(path)
    if path.suffix != ".png":
        assert check_file(path).faults


@pytest.mark.parametrize("name", MRC_SAID)
def test_odd_mrc_files_are_read_and_what_is_odd_is_said(name: str) -> None:
    path = shared(f"{FOLDER}/mrc/{name}")
    assert read_array(path).size
    assert re.search(MRC_SAID[name], "; ".join(validate(path)))


@pytest.mark.parametrize("name", MRC_REMARKED)
def test_harmless_oddities_of_mrc_files_are_remarks_and_no_faults(name: str) -> None:
    report = check_file(shared(f"{FOLDER}/mrc/{name}"))
    assert re.search(MRC_REMARKED[name], "; ".join(report.remarks))
    assert not [fault for fault in report.faults if "not square" not in fault]


def test_stacks_and_transforms_are_no_volumes_and_bad_voxels_are_refused() -> None:
    made = shared(f"{FOLDER}/mrc/made")
    with pytest.raises(InputError, match="stack, 8 section"):
        read_volume(made / "stack_of_images.mrcs")
    assert len(open_stack(made / "stack_of_images.mrcs")) == 8
    with pytest.raises(InputError, match="Fourier transform"):
        read_volume(made / "mode4_complex64.mrc")
    with pytest.raises(InputError, match=r"index \(3, 5, 7\).*2 of them"):
        read_volume(made / "nan_inf.mrc")
    with pytest.raises(InputError, match="state pixel_size_A"):
        read_volume(made / "zero_cell.mrc")
    with pytest.raises(InputError, match="1.05, 1.05, 2.1"):
        read_volume(made / "anisotropic_voxel.mrc")
    assert read_volume(made / "zero_cell.mrc", 1.05)[1] == 1.05


def test_integer_modes_have_their_range() -> None:
    made = shared(f"{FOLDER}/mrc/made")
    ranges = {"mode0_int8": (-128, 127), "mode0_imod_unsigned": (0, 255), "mode6_uint16": (0, 60000)}
    for name, expected in ranges.items():
        array = read_array(made / f"{name}.mrc")
        assert (array.min(), array.max()) == expected, name
    original = read_array(made / "mode2_float32.mrc")
    packed = read_array(made / "mode101_4bit.mrc").astype(float)
    assert packed.shape == original.shape and packed.max() == 15
    assert np.corrcoef(packed.ravel(), original.ravel())[0, 1] > 0.99  # 16 grey levels of the same block


def test_a_half_transform_comes_as_it_is() -> None:
    made = shared(f"{FOLDER}/mrc/made")
    transform, original = read_array(made / "mode4_complex64.mrc"), read_array(made / "mode2_float32.mrc")
    assert transform.shape == (8, 24, 17)
    assert np.allclose(transform, np.fft.rfftn(original), atol=1e-3)  # complex64 of sums of 6,144 values


def test_compressed_and_plain_maps_are_equal() -> None:
    folder = shared(f"{FOLDER}/mrc")
    plain, pixel = read_volume(folder / "EMD-3197.map")
    assert plain.shape == (20, 20, 20) and pixel == pytest.approx(11.4)
    for name in ("EMD-3197.map.gz", "EMD-3197.map.bz2"):
        assert np.array_equal(read_volume(folder / name)[0], plain)


def test_maps_with_other_axes_are_brought_to_z_y_x() -> None:
    folder = shared(f"{FOLDER}/mrc")
    # sections are y, rows x, columns z
    raw = np.fromfile(folder / "EMD-3001.map", "<f4", offset=1024 + 160).reshape(25, 43, 73)
    assert np.array_equal(read_array(folder / "EMD-3001.map"), raw.transpose(2, 0, 1))
    assert read_header(folder / "EMD-3001.map").pixel_size_A == pytest.approx((0.448, 0.393, 0.459), abs=6e-4)
    halves = [read_array(folder / f"axes321_half{number}.ccp4") for number in (1, 2)]
    assert halves[0].shape == (33, 42, 32)
    # a synthetic pair: FSC 1.00 out to 5 Å; the frequencies are right only where the axes are
    steps = read_header(folder / "axes321_half1.ccp4").pixel_size_A
    assert steps is not None
    axes = [np.fft.fftfreq(n, step) for n, step in zip(halves[0].shape, steps[::-1], strict=True)]
    k = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    a, b = (np.fft.fftn(half)[(k < 1 / 5) & (k > 0)] for half in halves)
    assert np.vdot(a, b).real / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real) > 0.995
    assert read_header(folder / "start100_axes321.ccp4").shape == (32, 40, 30)
    sizes = read_header(folder / "start100_axes321.ccp4").pixel_size_A
    assert sizes == pytest.approx((0.747, 0.723, 0.737), abs=6e-4)


def test_images_of_other_programs_are_read() -> None:
    folder = shared(f"{FOLDER}/mrc")
    header = read_header(folder / "float16_imod.mrc")
    assert header.kind == "image" and header.pixel_size_A == pytest.approx((3.595,) * 3, abs=1e-3)
    assert read_micrograph(folder / "float16_imod.mrc").shape == (64, 64)
    assert read_header(folder / "de_movie.mrc").pixel_size_A == (10.0, 10.0, 10.0)
    with pytest.raises(InputError, match="32 frames"):
        read_micrograph(folder / "de_movie.mrc")
    for name, size in (("aspire_one_image.mrcs", 200), ("boxmanager_2d.mrc", 100)):
        assert read_header(folder / name).pixel_size_A is None
        assert read_micrograph(folder / name).shape == (size, size)


def test_a_constant_image_is_refused_as_a_micrograph() -> None:
    with pytest.raises(InputError, match="frames|constant"):
        read_micrograph(shared(f"{FOLDER}/mrc/made/constant.mrc"))


def test_cryosparc_files_give_their_particles_and_say_what_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = shared(f"{FOLDER}/cs")
    expected = {
        "P12_J24_001_particles.cs": (2019, 34, 2.95, 180),
        "J2_particles_exported.cs": (22, 42, 1.345, 300),
        "empiar_10076_7.cs": (7, 24, 1.309998, 320),
    }
    for name, (count, fields, pixel, box) in expected.items():
        records = read_cs(folder / name)
        particles = cs_to_particles(records, file=name)
        assert (len(records), len(records.dtype.names or ())) == (count, fields)
        assert pixel_sizes_A(particles)[0] == pytest.approx(pixel, rel=1e-6)  # float32
        assert particles.optics["rlnImageSize"][0] == box
        assert ("rlnAngleRot" in particles.particles) == (name[0] == "P")
    assert "J2_particles_exported.cs: no 3D poses" in caplog.text
    path = cs_to_particles(read_cs(folder / "J2_particles_exported.cs")).particles["rlnImageName"][0]
    assert path == "000001@J1/imported/000090334788266266069_18jam15b_0345_ali_DW.mrcs"
    assert len(read_particles(folder / "empiar_10076_7.star")) == 7


def test_records_without_a_header_are_refused() -> None:
    with pytest.raises(InputError, match="headless_records.cs: not a NumPy file"):
        read_cs(shared(f"{FOLDER}/cs/headless_records.cs"))


def test_pictures_are_read_or_refused_by_name() -> None:
    folder = shared(f"{FOLDER}/other")
    block = read_array(shared(f"{FOLDER}/mrc/made/mode2_float32.mrc"))[4]
    assert np.array_equal(read_micrograph(folder / "f32.tif"), block)
    grey = read_micrograph(folder / "u8.png")
    for name in ("u8.tif", "rgb.png"):
        assert np.array_equal(read_micrograph(folder / name), grey)
    assert np.abs(read_micrograph(folder / "u8.jpg") - grey).mean() < 3  # lossy
    for name in ("u8.png", "u16.tif"):
        assert np.corrcoef(read_micrograph(folder / name).ravel(), block.ravel())[0, 1] > 0.999
    refused = {
        "multipage_u16.tif": "8 frames", "truncated.tif": "damaged image",
        "image.dm3": "Gatan image .*dm3", "image.dm4": "Gatan image .*dm4",
    }  # fmt: skip
    for name, message in refused.items():
        with pytest.raises(InputError, match=f"{name}: .*{message}"):
            read_micrograph(folder / name)
        assert check_file(folder / name).faults


COVERED_BY_NAME = {
    "mrc/EMD-3197.map", "mrc/EMD-3197.map.gz", "mrc/EMD-3197.map.bz2", "mrc/float16_imod.mrc",
    "mrc/made/mode0_int8.mrc", "mrc/made/mode0_imod_unsigned.mrc", "mrc/made/mode6_uint16.mrc",
    "mrc/made/mode101_4bit.mrc", "mrc/made/mode4_complex64.mrc", "cs/P12_J24_001_particles.cs",
    "cs/J2_particles_exported.cs", "cs/empiar_10076_7.cs", "cs/empiar_10076_7.star", "cs/headless_records.cs",
    "star/made/only_header.star", "other/f32.tif", "other/u8.png", "other/u8.tif", "other/rgb.png",
    "other/u8.jpg",
    "other/u16.tif", "other/multipage_u16.tif", "other/truncated.tif", "other/image.dm3", "other/image.dm4",
    "README.md",
}  # fmt: skip


def test_no_file_of_the_folder_is_left_uncovered() -> None:
    folder = shared(FOLDER)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    covered = COVERED_BY_NAME | {f"star/{name}.star" for name in STAR}
    covered |= {f"star/made/{name}.star" for name in (*STAR_AS_THE_ORIGINAL, *STAR_REFUSED)}
    covered |= {f"coords/{name}" for name in (*COORDINATES, *COORDINATES_REFUSED)}
    covered |= {f"mrc/{name}" for name in (*SAME_ARRAY, *MRC_REFUSED, *MRC_SAID, *MRC_REMARKED)}
    assert there == covered


def test_every_file_is_looked_at_without_an_error_of_the_program() -> None:
    for path in sorted(shared(FOLDER).rglob("*")):
        if path.is_file():
            report = check_file(path)
            assert report.kind and (report.facts or report.faults), path
