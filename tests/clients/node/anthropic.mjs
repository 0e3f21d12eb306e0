// Cases of the official Anthropic SDK for Node; test_node_sdks.py says what each must find.
import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';

const connect = (url, options = {}) =>
  new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0, timeout: 30_000, ...options });
const ask = (content, more = {}) => ({
  model: 'demo',
  max_tokens: 2048,
  messages: [{ role: 'user', content }],
  ...more,
});
const Person = z.object({ name: z.string(), age: z.number(), likes: z.array(z.string()) });
const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
};
const tools = [{ name: 'get_weather', input_schema: schema }];

export async function message(url) {
  const answer = await connect(url).messages.create(ask('Hi.'));
  return { text: answer.content[0].text, reason: answer.stop_reason, request: answer._request_id };
}

export async function messageStream(url) {
  const deltas = [];
  const stream = connect(url).messages.stream(ask('Hi.')).on('text', (delta) => deltas.push(delta));
  const answer = await stream.finalMessage();
  return { deltas, text: answer.content[0].text, reason: answer.stop_reason };
}

export async function thinking(url) {
  const client = connect(url);
  const asked = ask('Think first.', { thinking: { type: 'enabled', budget_tokens: 1024 } });
  const answer = await client.messages.stream(asked).finalMessage();
  const again = await client.messages.create({
    ...asked,
    messages: [
      ...asked.messages,
      { role: 'assistant', content: answer.content },
      { role: 'user', content: 'My name is Grace.' },
    ],
  });
  const [thought] = answer.content;
  return {
    thought: thought.thinking,
    signed: Boolean(thought.signature),
    again: again.content.at(-1).type,
  };
}

export async function streamedCalls(url) {
  const asked = ask('How is it in two cities?', { tools });
  const answer = await connect(url).messages.stream(asked).finalMessage();
  const calls = answer.content.filter((block) => block.type === 'tool_use');
  return { calls: calls.map((call) => call.input), reason: answer.stop_reason };
}

export async function toolRunner(url) {
  const asked = [];
  const getWeather = betaZodTool({
    name: 'get_weather',
    description: 'The weather.',
    inputSchema: z.object({ city: z.string(), days: z.number() }),
    run: (value) => {
      asked.push(value);
      return '21 degrees';
    },
  });
  const answer = await connect(url).beta.messages.toolRunner(
    ask('How is the weather?', { tools: [getWeather] }),
  );
  return { text: answer.content[0].text, asked };
}

export async function parse(url) {
  const answer = await connect(url).messages.parse(
    ask('Who was she?', { output_config: { format: zodOutputFormat(Person) } }),
  );
  return { person: answer.parsed_output };
}

export async function count(url) {
  const { max_tokens, ...asked } = ask('Hi.', { tools });
  const client = connect(url);
  const counted = await client.messages.countTokens(asked);
  const answer = await client.messages.create({ ...asked, max_tokens });
  return { counted: counted.input_tokens, used: answer.usage.input_tokens };
}

export const unknownModel = (url) => connect(url).messages.create(ask('Hi.', { model: 'nope' }));

export const badRequest = (url) => connect(url).messages.create(ask('Hi.', { temperature: -1 }));

export const wrongKey = (url) => connect(url, { apiKey: 'wrong' }).messages.create(ask('Hi.'));

export const fullQueue = (url) => connect(url).messages.create(ask('Hi.', { max_tokens: 1 }));

// Comes again after what retry-after says, until there is room.
export async function retry(url) {
  const answer = await connect(url, { maxRetries: 8 }).messages.create(ask('Hi.', { max_tokens: 3 }));
  return { tokens: answer.usage.output_tokens };
}
