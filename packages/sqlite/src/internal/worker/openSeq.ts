/** The request number under which a file is opened, so that a wait for a lock can be stopped then, too (slot 0). */
export const openSeq = 0x7fffffff
