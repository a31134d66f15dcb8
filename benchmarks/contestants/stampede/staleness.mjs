/** How long a loaded value is fresh: the shortest ttl that all libraries support. */
export const freshMs = 1_000
/** How long it is served afterwards, while it is refreshed. */
export const staleMs = 3_600_000
