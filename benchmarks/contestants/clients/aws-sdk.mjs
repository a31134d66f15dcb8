import {
  BatchGetItemCommand,
  CreateTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb'
import { hourMs } from '../../lib/workloads/dataset.mjs'

/** What an application writes by hand: the client with its defaults, and values as JSON text in an attribute. */
export async function dynamodb({ endpoint, table }) {
  const client = await connect({ endpoint, table })
  const put = (key, value) =>
    client.send(new PutItemCommand({ TableName: table, Item: toItem(key, value) }))
  return {
    async get(key) {
      const { Item } = await client.send(
        new GetItemCommand({ TableName: table, Key: { key: { S: key } } }),
      )
      return parseItem(Item)
    },
    set: put,
    put,
    getMany: (keys) => getItems(client, table, keys),
    close: async () => client.destroy(),
  }
}

/** A client for a table, which is created if it does not exist. */
export async function connect({ endpoint, table }) {
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const client = new DynamoDBClient({ endpoint, region: 'eu-central-1', credentials })
  await ensureTable(client, table)
  return client
}

/** Reads up to 100 items with one request. */
export async function getItems(client, table, keys) {
  const Keys = keys.map((key) => ({ key: { S: key } }))
  const { Responses } = await client.send(
    new BatchGetItemCommand({ RequestItems: { [table]: { Keys } } }),
  )
  const items = new Map(Responses[table].map((item) => [item.key.S, item]))
  return keys.map((key) => parseItem(items.get(key)))
}

export function toItem(key, value) {
  const expires = Math.ceil((Date.now() + hourMs) / 1_000)
  return { key: { S: key }, value: { S: JSON.stringify(value) }, expires_at: { N: `${expires}` } }
}

function parseItem(item) {
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
