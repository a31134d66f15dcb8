import { lazyContestant } from '../../contestants/lazy-contestant.mjs'
import { flags } from './dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from './key-value.mjs'

/**
 * A group of contestants on the DynamoDB server that `start` starts. `minRatios` has the targets: throughput divided by
 * that of `raw`, with 64 calls in flight (`get`, `set`, and `put`, a `set` without batching) or one (`getMany`, `single`).
 */
export function dynamodbGroup({ start, minRatios, durationFactor }) {
  const plan = [
    { name: 'get', inFlight: 64, minRatio: minRatios.get, minTaggedRatio: 0.9 },
    { name: 'set', inFlight: 64, minRatio: minRatios.set },
    { name: 'put', inFlight: 64, minRatio: minRatios.put },
    { name: 'getMany', inFlight: 1, minRatio: minRatios.getMany },
    { name: 'get', inFlight: 1, minRatio: minRatios.single, minTaggedRatio: 0.9 },
    { name: 'set', inFlight: 1, minRatio: minRatios.single },
  ]
  return {
    server: { start },
    durationFactor,
    contestants: {
      raw: lazyContestant('clients/aws-sdk', 'dynamodb'),
      'raw-batched': lazyContestant('clients/aws-sdk-batched', 'dynamodb'),
      stowage: lazyContestant('stowage/dynamodb', 'dynamodb'),
      'stowage-tagged': lazyContestant('stowage/dynamodb', 'tagged'),
    },
    workloads: () => keyValueWorkloads(flags, plan),
    prepare: fill(flags),
    check: checkHits(flags),
  }
}
