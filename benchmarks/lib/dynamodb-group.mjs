import { small } from './dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from './key-value.mjs'

/** `get64`: the ratio to raw that 64 reads in flight are to reach on this server. */
export function dynamodbGroup({ start, get64 }) {
  const workloads = [
    { name: 'get', inFlight: 64, atLeast: get64 },
    { name: 'set', inFlight: 64, atLeast: 0.95 },
    { name: 'getMany', inFlight: 1, atLeast: 0.9 },
    { name: 'get', inFlight: 1 },
    { name: 'set', inFlight: 1 },
  ]
  return {
    server: { start },
    // With 64 in flight a call takes 40 ms.
    timesLonger: 5,
    contestants: {
      raw: async (address) => (await import('../contestants/aws-sdk.mjs')).dynamodb(address),
    },
    workloads: () => keyValueWorkloads(small, workloads),
    prepare: fill(small),
    check: checkHits(small),
  }
}
