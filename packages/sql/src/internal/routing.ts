/** Remembers which texts may run on a session that only reads. */

/** Texts remembered; the oldest are forgotten first. */
const capacity = 1_000

export class Routing {
  private readonly known = new Map<string, boolean>()
  private off = false

  /** Undefined: nobody has asked the database yet. */
  mayRead(text: string): boolean | undefined {
    return this.off ? false : this.known.get(text)
  }

  learn(text: string, answer: { readonly routable: boolean; readonly private: boolean }): void {
    if (answer.private) {
      // Temporary tables shadow, attachments exist on one session only: from now on everything stays there.
      this.off = true
      this.known.clear()
    }
    if (this.off || this.known.get(text) === answer.routable) {
      return
    }
    if (this.known.size >= capacity) {
      for (const oldest of this.known.keys()) {
        this.known.delete(oldest)
        break
      }
    }
    this.known.set(text, answer.routable)
  }
}
