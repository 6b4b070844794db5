import { slots } from "./boundary.js"

/** The request number and slot under which a file is opened, so that a wait for a lock can be stopped then, too. */
export const openSeq = 0x7fffffff
/** The last one to be taken: the close of an open that was abandoned must not clear its cancel word. */
export const openSlot = slots - 1
