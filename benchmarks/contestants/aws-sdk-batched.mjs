import { BatchGetItemCommand, BatchWriteItemCommand } from '@aws-sdk/client-dynamodb'
import { itemOf, open, parsed } from './aws-sdk.mjs'

/** What an application can do at best by hand: the calls of a tick in requests as large as the server takes. */
export async function dynamodb({ endpoint, table }) {
  const client = await open({ endpoint, table })
  return {
    get: inBatches(100, async (keys) => {
      const Keys = keys.map((key) => ({ key: { S: key } }))
      const { Responses } = await client.send(
        new BatchGetItemCommand({ RequestItems: { [table]: { Keys } } }),
      )
      const items = new Map(Responses[table].map((item) => [item.key.S, item]))
      return keys.map((key) => parsed(items.get(key)))
    }),
    set: inBatches(25, async (entries) => {
      const puts = entries.map(([key, value]) => ({ PutRequest: { Item: itemOf(key, value) } }))
      await client.send(new BatchWriteItemCommand({ RequestItems: { [table]: puts } }))
      return []
    }),
    close: async () => client.destroy(),
  }
}

/** The first argument, or all of several, of the calls of one tick. */
function inBatches(size, send) {
  let waiting = []
  const flush = async () => {
    const batch = waiting
    waiting = []
    if (batch.length === 0) return
    try {
      const answers = await send(batch.map(({ asked }) => asked))
      for (const [i, { resolve }] of batch.entries()) resolve(answers[i])
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
  return (...args) =>
    new Promise((resolve, reject) => {
      waiting.push({ asked: args.length === 1 ? args[0] : args, resolve, reject })
      if (waiting.length === size) flush()
      else if (waiting.length === 1) process.nextTick(flush)
    })
}
