import { CacheError } from '@stowage/core'

/** The code of the `CacheError` that the call throws; the text of any other error; `undefined` if it throws none. */
export function codeOf(call: () => unknown): string | undefined {
  try {
    call()
  } catch (error) {
    return CacheError.is(error) ? error.code : String(error)
  }
  return undefined
}
