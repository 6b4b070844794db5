/** A small file system of one's own, for what cannot be tried on the machine's. */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const command = (name: string, ...args: ReadonlyArray<string>): void => {
  execFileSync(name, args, { stdio: ["ignore", "ignore", "pipe"] })
}

/** Mounts one for the scope, so many bytes large. */
export const mounted = (directory: string, bytes: number): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      mkdirSync(directory)
      command("mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", directory)
      return directory
    }),
    () => Effect.sync(() => command("umount", "--lazy", directory))
  )

/** Makes it larger or smaller. */
export const resized = (directory: string, bytes: number): Effect.Effect<void> =>
  Effect.sync(() => command("mount", "-o", `remount,size=${bytes}`, directory))

let possible: boolean | undefined

/** Whether this process may mount at all: root may, but not in every container. */
export const canMount = (): boolean => {
  if (possible === undefined) {
    const directory = mkdtempSync(join(tmpdir(), "sluice-soak-mount-"))
    try {
      command("mount", "-t", "tmpfs", "-o", "size=65536", "tmpfs", directory)
      command("umount", "--lazy", directory)
      possible = true
    } catch {
      possible = false
    }
    rmdirSync(directory)
  }
  return possible
}
