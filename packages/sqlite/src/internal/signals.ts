/**
 * What the pump offers to the two threads of a session to wake each other: faster than `Atomics.wait` and messages, of
 * which the first takes a lock that the waking thread still holds, and the second encodes and dispatches an event.
 */
export interface Signals {
  /** Where there are futexes: sleeps while the word has this value. False: the time is over. */
  readonly futexWait?: (words: Int32Array, index: number, value: number, millis: number) => boolean
  readonly futexWake?: (words: Int32Array, index: number) => void
  /**
   * An async handle of libuv, by which other threads have the calling thread's event loop call `run`; undefined: there is
   * none to be had.
   */
  readonly openAsync: (run: () => void) => bigint | undefined
  /** To be called once by the thread that opened the handle, when nobody will send to it any more. */
  readonly closeAsync: (handle: bigint) => void
  /** By which the calling thread sends to a handle. */
  readonly senderOf: (handle: bigint) => Sender | undefined
  readonly send: (sender: Sender) => void
}

export interface Sender {
  readonly _handle: "sender"
}
