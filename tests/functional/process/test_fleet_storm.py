"""tools/fleet on the bus of one process: full reports of many agents at once, heartbeats, and changes."""

from pathlib import Path
from random import Random

from simulation import load
from simulation.agents import Settings
from simulation.agreement import differences
from simulation.machines import Generated, generated
from simulation.world import Plan, running

FAKE = Plan(agents=12, fake=True)
QUICK = Settings(seed="1", heartbeat_s=1, look_interval_s=0.5)


def machines(folder: Path) -> list[Generated]:
    return generated(folder, 4, 24)


def test_all_agents_report_at_once_and_the_rows_are_their_states(tmp_path: Path) -> None:
    with running(tmp_path, FAKE, [each.machine for each in machines(tmp_path)], QUICK) as world:
        told = load.storm(world)
        assert told.failures == ()
        assert "12 full reports, 288 devices" in told.lines[0]
        assert world.tally()["answered holds"] == 12, "each began with a heartbeat"
        assert load.steady(world, 2).failures == ()


def test_a_row_that_is_not_its_agents_is_found_by_its_contents(tmp_path: Path) -> None:
    with running(tmp_path, FAKE, [each.machine for each in machines(tmp_path)], QUICK) as world:
        load.storm(world)
        states = world.states()
        assert differences(world.store, states) == []
        with world.store._engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE pci_devices SET status = 'allocated' WHERE address = '0000:01:10.0' AND compute_node_id ="
                " (SELECT id FROM compute_nodes WHERE hypervisor_hostname = 'compute-4')"
            )
        assert {each.partition(":")[0] for each in differences(world.store, states)} == {"compute-4"}
        states["compute-5"]["token"]["generation"] += 1
        states["compute-99"] = states.pop("compute-6")
        found = "\n".join(differences(world.store, states))
        assert "compute-5: the row is the state" in found
        assert "compute-6: the tracker knows it, and there is no such agent" in found
        assert "compute-99: the tracker doesn't know it" in found


def test_changes_of_devices_are_followed(tmp_path: Path) -> None:
    hosts = [each.machine for each in machines(tmp_path)]
    with running(tmp_path, FAKE, hosts, QUICK) as world:
        load.storm(world)
        before = {host: state["token"]["generation"] for host, state in world.states().items()}
        assert load.churn(world, hosts, 3, 400, Random(1)).failures == ()
        after = {host: state["token"]["generation"] for host, state in world.states().items()}
        assert all(after[host] > before[host] for host in before)
