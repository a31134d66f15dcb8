import { BatchWriteItemCommand } from '@aws-sdk/client-dynamodb'
import { connect, getItems, toItem } from './aws-sdk.mjs'

/** The best that an application can write by hand: the calls of one tick become requests of the maximum size. */
export async function dynamodb({ endpoint, table }) {
  const client = await connect({ endpoint, table })
  return {
    get: batched(100, (keys) => getItems(client, table, keys)),
    set: batched(25, async (entries) => {
      const puts = entries.map(([key, value]) => ({ PutRequest: { Item: toItem(key, value) } }))
      await client.send(new BatchWriteItemCommand({ RequestItems: { [table]: puts } }))
      return []
    }),
    close: async () => client.destroy(),
  }
}

/** Collects calls: `send` gets the only argument of each, or an array of its arguments. */
function batched(size, send) {
  let queue = []
  const flush = async () => {
    const batch = queue
    queue = []
    if (batch.length === 0) return
    try {
      const results = await send(batch.map(({ input }) => input))
      for (const [i, { resolve }] of batch.entries()) resolve(results[i])
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
  return (...args) =>
    new Promise((resolve, reject) => {
      queue.push({ input: args.length === 1 ? args[0] : args, resolve, reject })
      if (queue.length === size) flush()
      else if (queue.length === 1) process.nextTick(flush)
    })
}
