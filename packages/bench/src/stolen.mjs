/** What the host of a virtual machine takes from it: the share of its busy time in which it wanted to run and could not. */
import { readFileSync } from "node:fs"

/** Jiffies of all cores since the start (man 5 proc, /proc/stat). */
const jiffies = () => {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync("/proc/stat", "utf8")
    .split("\n", 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return { busy: user + nice + system + irq + softirq + steal, steal }
}

/** The result, and the share (0 … 1) that was stolen meanwhile. */
export const withStolen = async (use) => {
  const before = jiffies()
  const result = await use()
  const after = jiffies()
  return { result, stolen: (after.steal - before.steal) / Math.max(1, after.busy - before.busy) }
}
