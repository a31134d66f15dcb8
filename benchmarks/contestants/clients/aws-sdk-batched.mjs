import { BatchWriteItemCommand } from '@aws-sdk/client-dynamodb'
import { connect, getItems, toItem } from './aws-sdk.mjs'

/**
 * What an optimised application writes by hand: it batches the calls of one tick, up to 100 reads or 25 writes per
 * request, the limits of DynamoDB.
 */
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

/**
 * Returns a function that batches up to `maxSize` calls of one tick. `send` receives an array with one element per call:
 * its argument, or an array of its arguments if there are several. `send` resolves to the results in the same order.
 */
function batched(maxSize, send) {
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
      if (queue.length === maxSize) flush()
      else if (queue.length === 1) process.nextTick(flush)
    })
}
