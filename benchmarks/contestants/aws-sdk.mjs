import {
  BatchGetItemCommand,
  CreateTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb'
import { hourMs } from '../lib/dataset.mjs'

/** What an application writes by hand: the client with its defaults, and JSON text in an attribute. */
export async function dynamodb({ endpoint, table }) {
  const client = await open({ endpoint, table })
  const put = (key, value) =>
    client.send(new PutItemCommand({ TableName: table, Item: itemOf(key, value) }))
  return {
    async get(key) {
      const { Item } = await client.send(
        new GetItemCommand({ TableName: table, Key: { key: { S: key } } }),
      )
      return parsed(Item)
    },
    set: put,
    put,
    async getMany(keys) {
      const Keys = keys.map((key) => ({ key: { S: key } }))
      const { Responses } = await client.send(
        new BatchGetItemCommand({ RequestItems: { [table]: { Keys } } }),
      )
      const items = new Map(Responses[table].map((item) => [item.key.S, item]))
      return keys.map((key) => parsed(items.get(key)))
    },
    close: async () => client.destroy(),
  }
}

/** A client, and its table. */
export async function open({ endpoint, table }) {
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const client = new DynamoDBClient({ endpoint, region: 'eu-central-1', credentials })
  await ensureTable(client, table)
  return client
}

export function itemOf(key, value) {
  const expires = Math.ceil((Date.now() + hourMs) / 1_000)
  return { key: { S: key }, value: { S: JSON.stringify(value) }, expires_at: { N: `${expires}` } }
}

export function parsed(item) {
  return item === undefined ? undefined : JSON.parse(item.value.S)
}

async function ensureTable(client, table) {
  const create = new CreateTableCommand({
    TableName: table,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
    KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
  })
  await client.send(create).catch((error) => {
    if (error.name !== 'ResourceInUseException') throw error
  })
  await waitUntilTableExists(
    { client, minDelay: 1, maxDelay: 1, maxWaitTime: 30 },
    { TableName: table },
  )
}
