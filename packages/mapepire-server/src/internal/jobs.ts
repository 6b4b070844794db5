/** The jobs of the server: their names, and who runs what in them. */

/** What CANCEL_SQL can reach of a connection. */
export interface Job {
  readonly user: string
  /** Stops the statement that runs at this moment; false if none does. */
  readonly cancel: () => boolean
}

/** The first number of a job, as on a machine that has been up for a while. */
const firstNumber = 100_001

export class Jobs {
  private next = firstNumber
  private readonly free: Array<string> = []
  private readonly running = new Map<string, Job>()

  /** `reuse`: a job that has ended serves the next connection, as prestarted jobs do. */
  constructor(private readonly reuse: boolean) {}

  start(makeJob: (name: string) => Job): string {
    const name = this.free.shift() ?? `${this.next++}/QUSER/QZDASOINIT`
    this.running.set(name, makeJob(name))
    return name
  }

  end(name: string): void {
    if (this.running.delete(name) && this.reuse) {
      this.free.push(name)
    }
  }

  get(name: string): Job | undefined {
    return this.running.get(name.trim())
  }

  get names(): ReadonlyArray<string> {
    return [...this.running.keys()]
  }
}
