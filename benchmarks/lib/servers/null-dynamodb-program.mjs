// A server that implements the minimum of the DynamoDB protocol, so that benchmarks measure the client. It stores items
// as JSON text by key, without conditions and expiry. It runs as a child process and sends its port to the parent.
import { createServer } from 'node:http'

const tables = new Map()

const operations = {
  CreateTable({ TableName, KeySchema }) {
    if (tables.has(TableName)) return errorReply('ResourceInUseException')
    tables.set(TableName, { key: KeySchema[0].AttributeName, items: new Map() })
    return describe(TableName)
  },
  DescribeTable: ({ TableName }) =>
    tables.has(TableName) ? describe(TableName) : errorReply('ResourceNotFoundException'),
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

function errorReply(name) {
  return { error: JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${name}` }) }
}

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const [, operation] = request.headers['x-amz-target'].split('.')
    const reply = operations[operation](JSON.parse(Buffer.concat(chunks)))
    const { error } = reply
    const body = error ?? reply
    response.writeHead(error === undefined ? 200 : 400, {
      'content-type': 'application/x-amz-json-1.0',
      'content-length': Buffer.byteLength(body),
    })
    response.end(body)
  })
})
// By default, connections that are idle during the turns of other contestants would be closed.
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
process.once('disconnect', () => process.exit(0))
