import { lazyContestant } from '../../contestants/lazy-contestant.mjs'
import { flags } from './dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from './key-value.mjs'

/**
 * A group of contestants on the DynamoDB server that `start` starts. With 64 calls in flight, the target for `get` is
 * `minGetRatio` times the throughput of `raw`, and `minSetRatio` for `set`.
 */
export function dynamodbGroup({ start, minGetRatio, minSetRatio, durationFactor }) {
  const plan = [
    { name: 'get', inFlight: 64, minRatio: minGetRatio },
    { name: 'set', inFlight: 64, minRatio: minSetRatio },
    // A `set` without batching.
    { name: 'put', inFlight: 64, minRatio: 0.95 },
    { name: 'getMany', inFlight: 1, minRatio: 0.9 },
    { name: 'get', inFlight: 1 },
    { name: 'set', inFlight: 1 },
  ]
  return {
    server: { start },
    durationFactor,
    contestants: {
      raw: lazyContestant('clients/aws-sdk', 'dynamodb'),
      'raw-batched': lazyContestant('clients/aws-sdk-batched', 'dynamodb'),
      stowage: lazyContestant('stowage/dynamodb', 'dynamodb'),
    },
    workloads: () => keyValueWorkloads(flags, plan),
    prepare: fill(flags),
    check: checkHits(flags),
  }
}
