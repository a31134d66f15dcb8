import { dynamodb as store } from '@stowage/dynamodb'
import { stowage } from './stowage.mjs'

/** `put` is a `set` that is not merged with others. */
export function dynamodb(address) {
  const merged = stowage(store(optionsFor(address)))
  const single = stowage(store({ ...optionsFor(address), batching: false }))
  const close = async () => {
    await merged.close()
    await single.close()
  }
  return { ...merged, put: single.set, close }
}

function optionsFor({ endpoint, table }) {
  process.env.AWS_ACCESS_KEY_ID = 'local'
  process.env.AWS_SECRET_ACCESS_KEY = 'local'
  // The others have no deadline at all, and an engine that has just started needs seconds for the first thousand.
  const patient = { timeout: '10s', requestTimeout: '10s' }
  return { endpoint, table, region: 'eu-central-1', ensureTable: 'create', ...patient }
}
