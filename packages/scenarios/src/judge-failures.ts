import type { History } from '@stowage/testing/simulation'

/**
 * Judges that a call fails only if a request for one of its keys failed: calls that are merged do not share their fate.
 *
 * @param keysOf the keys of a call, or `undefined` for a call that is not judged
 */
export function judgeFailures<Call>(
  { entries, requests }: History<Call>,
  keysOf: (call: Call) => readonly string[] | undefined,
): string | undefined {
  for (const { outcome, call, process, invoked, settled = Infinity } of entries) {
    const keys = keysOf(call)
    if (outcome?.status !== 'rejected' || keys === undefined) continue
    const failed = requests.some(
      (request) =>
        request.hasFailed &&
        request.process === process &&
        request.sent > invoked &&
        request.sent < settled &&
        request.keys.some((storageKey) => keys.some((key) => storageKey.endsWith(key))),
    )
    if (failed) continue
    return `${process} ${JSON.stringify(call)} failed, although no request for its keys did: ${String(outcome.error)}`
  }
  return undefined
}
