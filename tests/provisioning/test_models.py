"""Compiled models are kept by version, and a move of the model reaches those whom it can touch."""

from dataclasses import replace

from directory.changes import AddDomain, AttributeMatch, SetPlan, SetSettings
from provisioning.models import Affected, ModelCache, OrganisationModel, compare_models, read_model
from tests.builders import MakeWorld, World, put_user


def present(world: World) -> OrganisationModel:
    with world.read() as reader:
        return world.models.get(reader, reader.organisation())


def test_a_model_is_kept_until_the_organisation_moves_it(world: World) -> None:
    model = present(world)
    world.do(SetPlan("Enterprise", 40))
    assert present(world) is model

    world.do(SetSettings({"member_sees_sensor_data": True}))

    assert present(world) is not model
    assert present(world) is present(world)


def test_a_verified_domain_is_known_at_once(world: World) -> None:
    world.do(AddDomain("example.org"))

    assert present(world).inputs.domains == {"example.org"}


def test_a_model_written_by_another_process_is_noticed_by_its_version(world: World) -> None:
    model = present(world)
    other = replace(world, models=ModelCache())

    other.put_scope("North")

    assert present(world) is not model


def test_so_many_models_are_kept_and_the_oldest_is_dropped(new_world: MakeWorld) -> None:
    worlds = [new_world(), new_world()]
    cache = ModelCache(capacity=1)
    kept = []
    for world in (*worlds, *worlds):
        with world.read() as reader:
            kept.append(cache.get(reader, reader.organisation()))

    assert kept[0] is not kept[2]
    assert kept[1] is not kept[3]


def test_the_same_model_touches_nobody(world: World) -> None:
    with world.read() as reader:
        model = read_model(reader, reader.organisation())

    assert compare_models(model, model) == Affected()


def test_a_rule_is_found_by_its_id(world: World) -> None:
    hq = world.put_directory()
    rule_id = world.grow(hq, "team")

    found = present(world).rule(rule_id)

    assert found is not None
    assert found.version == 1
    assert present(world).rule("unknown") is None


def test_attribute_rules_that_a_move_leaves_alone_touch_nobody(world: World) -> None:
    hq = world.put_directory()
    world.put_rule(AttributeMatch(hq, "title pr"))
    world.push(hq, put_user("ann", attributes={"title": ("Chef",)}))
    before = present(world)

    world.put_scope("North")

    assert compare_models(before, present(world)) == Affected()
