import { small } from './dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from './key-value.mjs'

/** `get64`, `set64`: the ratio to raw that 64 reads and writes in flight are to reach on this server. */
export function dynamodbGroup({ start, get64, set64, timesLonger }) {
  const workloads = [
    { name: 'get', inFlight: 64, atLeast: get64 },
    { name: 'set', inFlight: 64, atLeast: set64 },
    // One by one, as where sets are not merged.
    { name: 'put', inFlight: 64, atLeast: 0.95 },
    { name: 'getMany', inFlight: 1, atLeast: 0.9 },
    { name: 'get', inFlight: 1 },
    { name: 'set', inFlight: 1 },
  ]
  return {
    server: { start },
    timesLonger,
    contestants: {
      raw: async (address) => (await import('../contestants/aws-sdk.mjs')).dynamodb(address),
      'raw-batched': async (address) =>
        (await import('../contestants/aws-sdk-batched.mjs')).dynamodb(address),
      stowage: async (address) =>
        (await import('../contestants/stowage-dynamodb.mjs')).dynamodb(address),
    },
    workloads: () => keyValueWorkloads(small, workloads),
    prepare: fill(small),
    check: checkHits(small),
  }
}
