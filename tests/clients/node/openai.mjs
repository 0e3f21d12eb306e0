// Cases of the official OpenAI SDK for Node; test_node_sdks.py says what each must find.
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const connect = (url, options = {}) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 30_000, ...options });
const user = (content) => [{ role: 'user', content }];
const Weather = z.object({ city: z.string(), days: z.number() });
const Person = z.object({ name: z.string(), age: z.number(), likes: z.array(z.string()) });
const getWeather = zodFunction({ name: 'get_weather', parameters: Weather });

export async function chat(url) {
  const answer = await connect(url).chat.completions.create({ model: 'demo', messages: user('Hi.') });
  return { text: answer.choices[0].message.content, usage: answer.usage, request: answer._request_id };
}

export async function chatStream(url) {
  const deltas = [];
  const stream = connect(url).chat.completions.stream({ model: 'demo', messages: user('Hi.') });
  stream.on('content', (delta) => deltas.push(delta));
  const answer = await stream.finalChatCompletion();
  return { deltas, text: answer.choices[0].message.content, finish: answer.choices[0].finish_reason };
}

export async function runTools(url) {
  const asked = [];
  const runner = connect(url).chat.completions.runTools({
    model: 'demo',
    stream: true,
    messages: user('How is the weather?'),
    tools: [
      zodFunction({
        name: 'get_weather',
        parameters: Weather,
        function: (value) => {
          asked.push(value);
          return '21 degrees';
        },
      }),
    ],
  });
  return { text: await runner.finalContent(), asked };
}

export async function chatParse(url) {
  const client = connect(url);
  const answer = await client.chat.completions.parse({
    model: 'demo',
    messages: user('Who was she?'),
    response_format: zodResponseFormat(Person, 'person'),
  });
  const call = await client.chat.completions.parse({
    model: 'demo',
    messages: user('How is the weather?'),
    tools: [getWeather],
  });
  return {
    person: answer.choices[0].message.parsed,
    call: call.choices[0].message.tool_calls[0].function.parsed_arguments,
  };
}

export async function responses(url) {
  const answer = await connect(url).responses.create({ model: 'demo', input: 'Hi.' });
  return { text: answer.output_text, status: answer.status, usage: answer.usage };
}

export async function responsesStream(url) {
  const kinds = [];
  const stream = connect(url).responses.stream({
    model: 'demo',
    input: 'How is it in two cities?',
    tools: [{ ...getWeather.function, type: 'function', name: 'get_weather', strict: true }],
  });
  stream.on('event', (event) => kinds.push(event.type));
  const answer = await stream.finalResponse();
  const calls = answer.output.filter((item) => item.type === 'function_call');
  return { kinds, calls: calls.map((call) => JSON.parse(call.arguments)), status: answer.status };
}

export async function responsesParse(url) {
  const answer = await connect(url).responses.parse({
    model: 'demo',
    input: 'Who was she?',
    text: { format: zodTextFormat(Person, 'person') },
  });
  return { person: answer.output_parsed };
}

export async function responsesStored(url) {
  const client = connect(url);
  const first = await client.responses.create({ model: 'demo', input: 'My name is Grace.' });
  const second = await client.responses.create({
    model: 'demo',
    input: 'What am I called?',
    previous_response_id: first.id,
  });
  const found = await client.responses.retrieve(first.id);
  await client.responses.delete(first.id);
  const gone = await client.responses.retrieve(first.id).then(
    () => null,
    (error) => error.constructor.name,
  );
  return { text: second.output_text, found: found.output_text, gone };
}

export const unknownModel = (url) =>
  connect(url).chat.completions.create({ model: 'nope', messages: user('Hi.') });

export const badRequest = (url) =>
  connect(url).chat.completions.create({ model: 'demo', messages: user('Hi.'), temperature: -1 });

export const wrongKey = (url) => connect(url, { apiKey: 'wrong' }).models.list();

export const unknownResponse = (url) => connect(url).responses.retrieve('resp_nope');

export const fullQueue = (url) =>
  connect(url).chat.completions.create({ model: 'demo', messages: user('Hi.'), max_tokens: 1 });

// Comes again after what retry-after says, until there is room.
export async function retry(url) {
  const answer = await connect(url, { maxRetries: 8 }).chat.completions.create({
    model: 'demo',
    messages: user('Hi.'),
    max_tokens: 3,
  });
  return { tokens: answer.usage.completion_tokens };
}
