import { contestant } from '../../contestants/contestant.mjs'
import { flags } from './dataset.mjs'
import { checkHits, fill, keyValueWorkloads } from './key-value.mjs'

/** `minGetRatio` and `minSetRatio` are the targets for 64 calls in flight, as ratios to `raw`. */
export function dynamodbGroup({ start, minGetRatio, minSetRatio, durationFactor }) {
  const workloads = [
    { name: 'get', inFlight: 64, minRatio: minGetRatio },
    { name: 'set', inFlight: 64, minRatio: minSetRatio },
    // Without batching of sets.
    { name: 'put', inFlight: 64, minRatio: 0.95 },
    { name: 'getMany', inFlight: 1, minRatio: 0.9 },
    { name: 'get', inFlight: 1 },
    { name: 'set', inFlight: 1 },
  ]
  return {
    server: { start },
    durationFactor,
    contestants: {
      raw: contestant('clients/aws-sdk', 'dynamodb'),
      'raw-batched': contestant('clients/aws-sdk-batched', 'dynamodb'),
      stowage: contestant('stowage/dynamodb', 'dynamodb'),
    },
    workloads: () => keyValueWorkloads(flags, workloads),
    prepare: fill(flags),
    check: checkHits(flags),
  }
}
