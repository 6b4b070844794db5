/** Exchanges recorded from a daemon of version 2.3.3. */
import { readdirSync, readFileSync } from "node:fs"

export interface Exchange {
  readonly file: string
  readonly dir: "send" | "recv"
  readonly frame: string
}

const folder = new URL("./frames/", import.meta.url)

export const exchanges: ReadonlyArray<Exchange> = readdirSync(folder)
  .filter((file) => file.endsWith(".jsonl"))
  .sort()
  .flatMap((file) =>
    readFileSync(new URL(file, folder), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => ({ file, ...(JSON.parse(line) as Omit<Exchange, "file">) }))
  )
  .filter((exchange) => (exchange.dir === "send" || exchange.dir === "recv") && typeof exchange.frame === "string")
