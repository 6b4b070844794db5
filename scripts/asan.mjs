// Runs the native engine's tests on a pump that was built with AddressSanitizer: reads and writes outside of what was
// allocated, or after it was freed, end the process with a report. Where the compiler has no AddressSanitizer they run under
// valgrind; where there is neither, this fails and says so.
//
//     npm run test:asan [-- vitest's arguments]     (FUZZ=10 makes the fuzzing ten times as long)
//
// Leaks are not looked for: Node itself frees little of what it has when it ends.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, rmSync } from "node:fs"
import { dirname, isAbsolute, join } from "node:path"
import { require, root } from "./lib/workspace.mjs"

const vitest = join(dirname(require.resolve("vitest/package.json")), "vitest.mjs")
const pump = join(root, ".build", "asan", "pump.node")
const engineTests = ["packages/sqlite/test/nativeEngine.test.ts", "packages/sqlite/test/fuzz.test.ts"]

const say = (text) => process.stderr.write(`asan: ${text}\n`)
const run = (command, parameters, env) =>
  spawnSync(command, parameters, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } }).status ?? 1

/** The sanitizer's own library, which must be in the process before Node is; undefined when the compiler has none. */
const runtime = () => {
  if (process.platform !== "linux") return undefined
  const compiler = process.env.CC?.trim().split(/\s+/)[0] || "cc"
  for (const name of ["libasan.so", `libclang_rt.asan-${process.arch === "x64" ? "x86_64" : "aarch64"}.so`]) {
    const found = spawnSync(compiler, [`-print-file-name=${name}`], { encoding: "utf8" }).stdout?.trim() ?? ""
    if (isAbsolute(found) && existsSync(found)) return found
  }
  return undefined
}

const build = (...flags) => {
  rmSync(pump, { force: true })
  mkdirSync(dirname(pump), { recursive: true })
  run(process.execPath, [join(root, "packages/sqlite/native/build.mjs"), `--output=${pump}`, "--", "-g", ...flags])
  return existsSync(pump)
}

const given = process.argv.slice(2)
const tests = given.length > 0 ? given : engineTests
// In processes, not in threads, so that what is loaded first is ours; one file after the other.
const parameters = [vitest, "run", "--pool=forks", "--no-file-parallelism", "--testTimeout=300000", ...tests]

const library = runtime()
const hasValgrind = spawnSync("valgrind", ["--version"]).status === 0
if (
  library !== undefined &&
  build("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
) {
  say(`AddressSanitizer from ${library}`)
  process.exitCode = run(process.execPath, parameters, {
    SLUICE_SQLITE_PUMP: pump,
    LD_PRELOAD: library,
    // V8 handles some faults of its own; a report must fail the run.
    ASAN_OPTIONS: "detect_leaks=0:handle_segv=0:detect_odr_violation=0:abort_on_error=1"
  })
} else if (hasValgrind && build("-O1")) {
  say("this compiler has no AddressSanitizer; valgrind takes its place, which is much slower")
  process.exitCode = run("valgrind", ["--error-exitcode=99", "--trace-children=yes", process.execPath, ...parameters], {
    SLUICE_SQLITE_PUMP: pump
  })
} else {
  say(
    "this compiler has no AddressSanitizer (gcc: libasan, clang: compiler-rt), and there is no valgrind: nothing was run"
  )
  process.exitCode = 1
}
