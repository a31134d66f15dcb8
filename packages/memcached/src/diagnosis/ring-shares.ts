import { type Hashing, hashRing } from '../hashing/hash-ring.ts'
import type { NodeAddress } from '../node-address.ts'

/** Enough for shares within half a percent. */
const sampledKeys = 20_000

/** Returns the share of the keys that each node stores, from 0 to 1, measured with keys like those of applications. */
export function ringShares(hashing: Hashing, nodes: readonly NodeAddress[]): number[] {
  if (nodes.length === 0) return []
  const ring = hashRing(hashing, nodes)
  const counts = nodes.map(() => 0)
  for (let index = 0; index < sampledKeys; index++) {
    const node = ring.indexOf(`cache:sample:${index}`)
    counts[node] = (counts[node] ?? 0) + 1
  }
  return counts.map((count) => count / sampledKeys)
}
