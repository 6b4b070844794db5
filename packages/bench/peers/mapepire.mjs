/** The Mapepire client that everybody has. By itself: it is large, and the other sections do without it. */
import mapepire from "@ibm/mapepire-js"

export const { Pool, SQLJob } = mapepire
