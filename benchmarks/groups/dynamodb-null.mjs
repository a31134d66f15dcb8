import { dynamodbGroup } from '../lib/dynamodb-group.mjs'
import { startNullDynamoDB } from '../lib/null-dynamodb-server.mjs'

/** What the client costs, with a server that costs next to nothing. */
export default dynamodbGroup({ start: startNullDynamoDB, get64: 5 })
