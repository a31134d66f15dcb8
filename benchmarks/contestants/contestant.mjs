/**
 * A contestant: `factory` is an export of `contestants/<file>.mjs` and is called with the address of its server. The
 * module is imported only when the contestant is opened, so a process loads no library of another contestant.
 */
export function contestant(file, factory) {
  return async (address) => {
    const module = await import(new URL(`${file}.mjs`, import.meta.url))
    return module[factory](address)
  }
}
