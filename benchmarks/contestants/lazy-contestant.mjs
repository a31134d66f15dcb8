/**
 * Returns a function that opens a contestant: it imports `contestants/<file>.mjs`, and calls the export `exportName`
 * with the address of the server. Nothing is imported earlier, so a process loads only the library that it measures.
 */
export function lazyContestant(file, exportName) {
  return async (address) => {
    const module = await import(new URL(`${file}.mjs`, import.meta.url))
    return module[exportName](address)
  }
}
