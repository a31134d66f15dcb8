import { dynamodb as dynamodbStore } from '@stowage/dynamodb'
import { cacheContestant, taggedCacheContestant } from './cache.mjs'

/** `put` is a `set` that is not batched with others. */
export function dynamodb(address) {
  const batched = cacheContestant(dynamodbStore(optionsFor(address)))
  const single = cacheContestant(dynamodbStore({ ...optionsFor(address), batching: false }))
  const close = async () => {
    await batched.close()
    await single.close()
  }
  return { ...batched, put: single.set, close }
}

export const tagged = (address) => taggedCacheContestant(dynamodbStore(optionsFor(address)))

function optionsFor({ endpoint, table }) {
  process.env.AWS_ACCESS_KEY_ID = 'local'
  process.env.AWS_SECRET_ACCESS_KEY = 'local'
  // The other contestants have no deadline, and a new DynamoDB Local needs seconds for the first thousand items.
  const timeouts = { timeout: '10s', requestTimeout: '10s' }
  return { endpoint, table, region: 'eu-central-1', ensureTable: 'create', ...timeouts }
}
