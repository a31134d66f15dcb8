// The least a server of DynamoDB's protocol can do, so that what is measured is the client: it keeps items as they
// came, by key, and knows neither conditions nor expiry. Started as a process of its own, it prints its port.
import { createServer } from 'node:http'

const tables = new Map()

const operations = {
  CreateTable({ TableName, KeySchema }) {
    if (tables.has(TableName)) return refusal('ResourceInUseException')
    tables.set(TableName, { key: KeySchema[0].AttributeName, items: new Map() })
    return describe(TableName)
  },
  DescribeTable: ({ TableName }) =>
    tables.has(TableName) ? describe(TableName) : refusal('ResourceNotFoundException'),
  DescribeTimeToLive: () =>
    '{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"expires_at"}}',
  PutItem({ TableName, Item }) {
    put(TableName, Item)
    return '{}'
  },
  GetItem({ TableName, Key }) {
    const item = find(TableName, Key)
    return item === undefined ? '{}' : `{"Item":${item}}`
  },
  BatchGetItem({ RequestItems }) {
    const responses = Object.entries(RequestItems).map(([table, { Keys }]) => {
      const found = Keys.map((key) => find(table, key)).filter((item) => item !== undefined)
      return `${JSON.stringify(table)}:[${found.join(',')}]`
    })
    return `{"Responses":{${responses.join(',')}},"UnprocessedKeys":{}}`
  },
  BatchWriteItem({ RequestItems }) {
    for (const [table, requests] of Object.entries(RequestItems)) {
      for (const { PutRequest } of requests) put(table, PutRequest.Item)
    }
    return '{"UnprocessedItems":{}}'
  },
}

function put(table, item) {
  const { key, items } = tables.get(table)
  items.set(item[key].S, JSON.stringify(item))
}

function find(table, keys) {
  const { key, items } = tables.get(table)
  return items.get(keys[key].S)
}

function describe(name) {
  const { key } = tables.get(name)
  const KeySchema = [{ AttributeName: key, KeyType: 'HASH' }]
  const AttributeDefinitions = [{ AttributeName: key, AttributeType: 'S' }]
  return JSON.stringify({ Table: { TableStatus: 'ACTIVE', KeySchema, AttributeDefinitions } })
}

function refusal(name) {
  return { refused: JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${name}` }) }
}

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const [, operation] = request.headers['x-amz-target'].split('.')
    const answer = operations[operation](JSON.parse(Buffer.concat(chunks)))
    const { refused } = answer
    const body = refused ?? answer
    response.writeHead(refused === undefined ? 200 : 400, {
      'content-type': 'application/x-amz-json-1.0',
      'content-length': Buffer.byteLength(body),
    })
    response.end(body)
  })
})
// The default ends idle connections while other contestants have their turns.
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
process.once('disconnect', () => process.exit(0))
