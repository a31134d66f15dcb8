import { dynamodbGroup } from '../lib/dynamodb-group.mjs'
import { startNullDynamoDB } from '../lib/null-dynamodb-server.mjs'

/** What the client costs, with a server that costs next to nothing. With 64 in flight a call takes 40 ms. */
export default dynamodbGroup({ start: startNullDynamoDB, get64: 5, set64: 5, timesLonger: 5 })
