/** The scenarios. Each is loaded where it runs, and nowhere else. */
import type { Scenario } from "./soak.js"

export const scenarios: ReadonlyArray<Scenario> = [
  {
    name: "mix",
    about: "queries, streams, batches, programs in the worker, nested transactions, interrupts and deadlines on a file",
    weight: 4,
    roundMillis: { long: 3_000, short: 1_200 },
    load: () => import("./scenarios/mix.js")
  },
  {
    name: "kills",
    about: "worker threads terminated in the middle of their statements",
    weight: 3,
    roundMillis: { long: 3_000, short: 1_200 },
    load: () => import("./scenarios/kills.js")
  },
  {
    name: "slow",
    about: "consumers that are slower than the database, beside a program that writes",
    weight: 1,
    roundMillis: { long: 4_000, short: 1_200 },
    load: () => import("./scenarios/slow.js")
  },
  {
    name: "full",
    about: "no room on the disk, and room again",
    weight: 1,
    roundMillis: { long: 3_000, short: 1_200 },
    load: () => import("./scenarios/full.js")
  },
  {
    name: "readonly",
    about: "a directory and a file that may not be written, for a while",
    weight: 1,
    roundMillis: { long: 3_000, short: 1_500 },
    load: () => import("./scenarios/readonly.js")
  },
  {
    name: "replaced",
    about: "another database put in the place of an open one",
    weight: 1,
    roundMillis: { long: 1_500, short: 500 },
    load: () => import("./scenarios/replaced.js")
  },
  {
    name: "clock",
    about: "the wall clock jumps to and fro; deadlines hold, sessions get as old as they may",
    weight: 1,
    roundMillis: { long: 4_000, short: 1_200 },
    load: () => import("./scenarios/clock.js")
  },
  {
    name: "sockets",
    about: "Mapepire: sockets cut at any byte, or silent for a while; slow consumers",
    weight: 2,
    roundMillis: { long: 4_000, short: 1_500 },
    load: () => import("./scenarios/sockets.js")
  },
  {
    name: "daemon",
    about: "Mapepire: the daemon killed and started again",
    weight: 2,
    roundMillis: { long: 6_000, short: 2_000 },
    load: () => import("./scenarios/daemon.js")
  },
  {
    name: "crash",
    about: "kill -9 of a process that commits, with WAL and without, with readers and without (200 times with --only)",
    weight: 2,
    roundMillis: { long: 0, short: 0 },
    rounds: 10,
    load: () => import("./scenarios/crash.js")
  }
]
