/** Milliseconds that a timer of Node's can wait: with one more it would not wait at all. */
export const longestTimer = 0x7fffffff
