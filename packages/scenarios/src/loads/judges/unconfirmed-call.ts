import { isAcknowledged } from '@stowage/testing/simulation'
import { isIdKey } from '../../generation-ids.ts'
import type { LoadHistory } from './load-history.ts'

/** Strong reads, and `add`: another process may have begun a generation, and found or added something else there. */
const confirmed: ReadonlySet<string> = new Set(['get', 'getMany', 'add'])

/** A strong read or an `add` succeeded although no request for the id of its generation did. */
export function findUnconfirmedCall({ entries, history, traits }: LoadHistory): string | undefined {
  if (traits.scan || history.isRealTime === true) return undefined
  const requests = history.requests.filter(
    ({ operation, keys, hasFailed }) => operation === 'get' && !hasFailed && keys.some(isIdKey),
  )
  const found = entries.find(
    (entry) =>
      confirmed.has(entry.call.op) &&
      isAcknowledged(entry) &&
      !requests.some(
        ({ process, sentAt, keys }) =>
          process === entry.process &&
          // Calls of the same moment share requests.
          sentAt >= entry.invokedAt &&
          sentAt <= entry.settledAt &&
          keys.some((key) => key.includes(':ns:') === entry.call.inNamespace),
      ),
  )
  if (found === undefined) return undefined
  return `${found.process} ${found.call.op} at ${found.invokedAt} ms succeeded without the id of its generation.`
}
