/** The libraries that CL commands may name. All of them are the one schema of the database; only the names differ. */

/** What is on every IBM i, and the sample's. */
const always = ["QSYS", "QSYS2", "QGPL", "QTEMP", "QHLPSYS", "QUSRSYS", "QIWS", "SYSIBM", "SYSTOOLS", "SAMPLE"]

/** Of a server: those in which something has been created come to it. */
export const makeLibraries = (): Set<string> => new Set(always)
