<?php

$state = json_decode(file_get_contents(getenv('USHER_TEST_FOLDER') . '/state.json'), true);
$people = ['exampleauth:UserPass'];
foreach ($state['people'] as $person) {
    $people[$person['name'] . ':' . $person['password']] = [
        'uid' => [$person['name']],
        'mail' => [$person['mail']],
        'givenName' => [$person['given_name']],
        'sn' => [$person['family_name']],
        'groups' => $person['groups'],
        'nameid' => [$state['answers']['name_id'] ?: $person['name']],
    ];
}
$config = ['people' => $people];
